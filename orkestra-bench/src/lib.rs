//! The benchmark of the agents: ten coding tasks, graded automatically. Empty so far; the tasks come with their own issue.
