//! The benchmark of agents: ten coding tasks, graded without a human. Its place; the tasks come with their own issue.
