"""What people run otherwise, written down so that it can be measured beside ours."""
