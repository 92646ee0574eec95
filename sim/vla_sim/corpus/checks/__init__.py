"""The answers anew, from what is behind the pictures: MuJoCo's state, contacts and a finer segmentation; or the pixels.

Nothing here reads a sample's facts but the numbers of its pictures; what is asked is read from the question's words.
"""
