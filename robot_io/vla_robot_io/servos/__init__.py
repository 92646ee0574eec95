"""Arms of servos on a serial bus: Feetech STS (SO-100, SO-101) and Dynamixel X (Koch, ViperX class)."""
