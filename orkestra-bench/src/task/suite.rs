//! Suites of tasks: the ten that are built in, or the directories in a directory of yours.

use std::path::Path;

use super::read::{self, TaskError};
use super::{CodingTask, Difficulty};

/// The tasks in the order of the documentation.
const BUILT_IN: [&str; 10] = [
    "hello_world",
    "calculator",
    "fastapi_health",
    "todo_api",
    "data_processing",
    "auth_jwt",
    "websocket_chat",
    "async_scraper",
    "react_component",
    "docker_compose",
];

#[derive(rust_embed::RustEmbed)]
#[folder = "tasks"]
#[exclude = "**/__pycache__/**"]
struct Embedded;

/// Tasks to work on, in their order.
#[derive(Clone, Debug)]
pub struct Suite {
    tasks: Vec<CodingTask>,
}

impl Suite {
    /// The ten tasks of the documentation.
    ///
    /// # Errors
    /// When a task that is built in is invalid, which its test rules out.
    pub fn built_in() -> Result<Self, TaskError> {
        let tasks = BUILT_IN.iter().map(|name| built_in(name)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { tasks })
    }

    /// Every directory with a `task.toml` in this directory, by name; or the directory itself, if it has one.
    ///
    /// # Errors
    /// [`TaskError`] with everything that is wrong with all of the tasks, or when there are none.
    pub fn in_directory(directory: &Path) -> Result<Self, TaskError> {
        let unreadable = |error: std::io::Error| {
            TaskError::new(directory.display(), vec![format!("cannot read the directory: {error}")])
        };
        if directory.join("task.toml").is_file() {
            return Ok(Self { tasks: vec![read::from_directory(directory)?] });
        }
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.join("task.toml").is_file() {
                paths.push(path);
            }
        }
        paths.sort();
        if paths.is_empty() {
            let problem = "no tasks found: a task is a directory with a file task.toml in it".to_owned();
            return Err(TaskError::new(directory.display(), vec![problem]));
        }
        let (mut tasks, mut errors) = (Vec::new(), Vec::new());
        for path in &paths {
            match read::from_directory(path) {
                Ok(task) => tasks.push(task),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() {
            return Ok(Self { tasks });
        }
        Err(TaskError::new(directory.display(), errors.iter().map(ToString::to_string).collect()))
    }

    /// The tasks.
    #[must_use]
    pub fn tasks(&self) -> &[CodingTask] {
        &self.tasks
    }

    /// These tasks of the suite, in its order; all of them for an empty list.
    ///
    /// # Errors
    /// When a name is unknown; the error lists the known ones.
    pub fn select(mut self, names: &[String]) -> Result<Self, TaskError> {
        let known: Vec<&str> = self.tasks.iter().map(|task| task.name.as_str()).collect();
        let unknown: Vec<String> = names.iter().filter(|name| !known.contains(&name.as_str())).cloned().collect();
        if !unknown.is_empty() {
            let problem = format!("no such task: {}; the tasks are {}", unknown.join(", "), known.join(", "));
            return Err(TaskError::new("the selection", vec![problem]));
        }
        self.tasks.retain(|task| names.is_empty() || names.contains(&task.name));
        Ok(self)
    }

    /// Name, difficulty and title of each task.
    pub fn list(&self) -> impl Iterator<Item = (&str, Difficulty, &str)> {
        self.tasks.iter().map(|task| (task.name.as_str(), task.difficulty, task.title.as_str()))
    }
}

fn built_in(name: &str) -> Result<CodingTask, TaskError> {
    let prefix = format!("{name}/");
    let paths = Embedded::iter().filter(|path| path.starts_with(&prefix));
    let files = paths.filter_map(|path| {
        let content = Embedded::get(&path)?.data.into_owned();
        Some((path[prefix.len()..].to_owned(), content))
    });
    read::from_files(name, &files.collect())
}
