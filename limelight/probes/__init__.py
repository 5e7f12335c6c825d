"""The simulators that limelight learns from. Each is a folder; none imports another."""
