//! Children: each returns its input, which says which request it belongs to, so that a child of another request is detected.

use orkestra_core::{TaskError, TaskResult};
use serde_json::{Value, json};

use crate::sim::value::odd;

use super::Call;

impl Call {
    /// The input of the child of this place, which identifies the place.
    fn child_input(&self, place: &str) -> Value {
        let number = place.bytes().fold(self.incarnation as u64, |sum, byte| sum.wrapping_mul(31) + u64::from(byte));
        let v = odd(self.world.seed, self.has_odd_values(), number);
        json!({ "for": [self.run(), self.incarnation, self.node, place], "attempt": self.cx.attempt(), "v": v })
    }

    /// Starts children one after the other, all with one key.
    pub(super) async fn children(&self, place: &str, key: &str, how: (&str, usize, bool)) -> TaskResult<()> {
        let (workflow, count, strict) = how;
        let mut all = Ok(());
        for number in 0..count {
            let place = format!("{place}.{number}");
            let given = self.child_input(&place);
            let done = self.cx.child::<Value>(key, workflow, &given).await;
            self.process.halt_if_dead().await;
            all = all.and(self.child_ended(&place, &given, done));
        }
        if strict { all } else { Ok(()) }
    }

    pub(super) async fn map_runs(&self, place: &str, key: &str, how: (&str, usize, bool)) -> TaskResult<()> {
        let (workflow, count, strict) = how;
        let given: Vec<_> = (0..count).map(|item| self.child_input(&format!("{place}[{item}]"))).collect();
        let done = self.cx.map_runs::<_, Value>(key, 2, workflow, &given).await;
        self.process.halt_if_dead().await;
        let all = match done {
            Ok(outputs) => {
                let ended = outputs.into_iter().enumerate().map(|(item, output)| {
                    let place = format!("{place}[{item}]");
                    self.child_ended(&place, &given[item], Ok(output))
                });
                ended.fold(Ok(()), Result::and)
            }
            Err(error) => self.child_ended(place, &Value::Null, Err(error)),
        };
        if strict { all } else { Ok(()) }
    }

    /// A child's output contains the input of its nodes.
    fn child_ended(&self, place: &str, given: &Value, done: TaskResult<Value>) -> TaskResult<()> {
        let output = done.inspect_err(|error: &TaskError| self.failed(place, error))?;
        let echoes: Vec<_> = match output.get("echo") {
            Some(echo) => vec![echo.clone()],
            // Several last nodes: their outputs by name.
            None => output.as_object().into_iter().flatten().filter_map(|(_, of)| of.get("echo").cloned()).collect(),
        };
        // The attempt may differ: an earlier one may have requested the child. A fork has the children of the original run.
        let same = |echo: &Value| ["for", "v"].iter().all(|part| echo.get(part) == given.get(part));
        let forked = self.world.audit().is_fork(self.run());
        // Nodes added to the child by growth have another input, and echo null.
        let other = echoes.iter().find(|echo| !echo.is_null() && !same(echo));
        if let Some(echo) = other.filter(|_| !forked) {
            let echo = echo.get("for").cloned().unwrap_or_default();
            self.broken(place, &format!("its child did the work of {echo}"));
        }
        self.answered(place, &output.get("attempt"));
        Ok(())
    }
}
