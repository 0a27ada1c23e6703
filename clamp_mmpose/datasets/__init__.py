"""Dataset classes that MMPose lacks, and toy data that can be drawn anywhere."""
