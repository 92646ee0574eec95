"""Hands that drive an arm: keyboard, gamepad, SpaceMouse, leader arm, browser."""
