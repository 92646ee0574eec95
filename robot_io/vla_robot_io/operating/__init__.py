"""Whoever operates an arm: what they ask for, who has the arm now, what they see of it, and what is recorded."""
