"""What a job leaves of its evaluation, in its folder and in the tracker."""
