"""What the loop costs and what it lost, beside the code that people use otherwise."""
