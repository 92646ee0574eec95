"""Robots of LeRobot's as arms of ours, and arms of ours as robots of LeRobot's."""
