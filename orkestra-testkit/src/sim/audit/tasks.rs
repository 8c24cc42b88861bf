//! Checks of what tasks do and what they are answered.

use orkestra_core::kernel::NodeStatus;
use orkestra_core::model::{Name, Payload, RunId, Seq};
use serde_json::{Value, json};

use orkestra_core::kernel::Event;

use super::Audit;
use super::incarnation::{Incarnation, stands_for_another};

/// One place in a program, in one call of one task.
#[derive(Clone, Debug)]
pub(in crate::sim) struct At<'a> {
    pub(in crate::sim) process: &'a str,
    pub(in crate::sim) run: &'a RunId,
    pub(in crate::sim) incarnation: usize,
    pub(in crate::sim) node: &'a Name,
    pub(in crate::sim) attempt: u32,
    pub(in crate::sim) place: &'a str,
}

/// An effect that a step is about to perform.
#[derive(Clone, Debug)]
pub(in crate::sim) struct Effect<'a> {
    pub(in crate::sim) at: At<'a>,
    pub(in crate::sim) at_most_once: bool,
}

impl Audit {
    /// The run that a task belongs to; `None` for a call that still runs although its run was deleted.
    fn incarnation_of(&mut self, at: &At<'_>) -> Option<&mut Incarnation> {
        let now = self.incarnation(at.run) == at.incarnation;
        self.runs.get_mut(at.run).filter(|_| now)
    }

    /// A task was called with this input.
    pub(in crate::sim) fn called(&mut self, at: &At<'_>, input: &Payload) {
        let At { run, node, attempt, .. } = *at;
        let drives = self.drives(run, at.process);
        let Some(state) = self.state(run) else {
            let deleted = self.incarnation(run) > 0 && !drives;
            return self.expect(deleted, || format!("`{run}`/`{node}` is called and the run is not durable"));
        };
        let Some(id) = state.plan().id(node) else {
            let deleted = self.incarnation(run) > 0 && !drives;
            return self.expect(deleted, || format!("`{run}`/`{node}` is called and the node is not durable"));
        };
        let (now, given) = (state.node(id), state.node_input(id));
        let old = self.incarnation(run) > 0 && !drives;
        let early = attempt > now.attempt && !old;
        let again = drives && now.status == NodeStatus::Completed;
        // A large input is kept beside the journal and not compared.
        let same = given
            .as_ref()
            .map_or(true, |given| given.as_json() == input.as_json() || stands_for_another(given.as_json()));
        self.expect(!early, || format!("attempt {attempt} of `{run}`/`{node}` is called before it is durable"));
        self.expect(!again, || format!("`{run}`/`{node}` is called and is completed already"));
        self.expect(same || old, || format!("`{run}`/`{node}` is called with another input than it has"));
    }

    /// A task returned.
    pub(in crate::sim) fn returned(&mut self, at: &At<'_>, output: &Payload) {
        let Some(incarnation) = self.incarnation_of(at) else { return };
        let all = incarnation.returned.entry((at.node.clone(), at.attempt)).or_default();
        all.push(output.as_json().to_owned());
    }

    /// An effect starts; returns its number.
    pub(in crate::sim) fn begin(&mut self, effect: &Effect<'_>) -> u64 {
        self.begun += 1;
        let (number, at) = (self.begun, &effect.at);
        let (drives, losses, orphan) = (self.drives(at.run, at.process), self.losses(at.run), self.is_orphan(at.run));
        let Some(incarnation) = self.incarnation_of(at) else { return number };
        let node_state = incarnation.state().and_then(|state| Some(state.node(state.plan().id(at.node)?)));
        let durable = node_state.is_some_and(|state| state.attempt >= at.attempt);
        let place = incarnation.place(at.node, at.place);
        place.effects.push(number);
        place.begun = Some((losses, at.attempt, at.process.to_owned()));
        let (done, twice) = (drives && place.done, effect.at_most_once && place.effects.len() > 1);
        self.expect(durable, || format!("{effect:?} before its attempt is durable"));
        self.expect(!done, || format!("{effect:?} although its result is durable"));
        self.expect(!twice, || format!("{effect:?} for the second time"));
        self.expect(!orphan, || format!("{effect:?} in a run that was cancelled before it began"));
        number
    }

    /// Whether a run is live although its parent recorded it as cancelled before it existed.
    fn is_orphan(&self, run: &RunId) -> bool {
        self.fenced.contains(run) && self.state(run).is_some_and(|state| state.stopping().is_none())
    }

    /// How often an effect has started.
    pub(in crate::sim) fn times(&mut self, at: &At<'_>) -> usize {
        self.incarnation_of(at).map_or(usize::MAX, |incarnation| incarnation.place(at.node, at.place).effects.len())
    }

    /// A task got the result of a step, which must be durable.
    pub(in crate::sim) fn remembered(&mut self, at: &At<'_>, result: &Value) {
        let Some(incarnation) = self.incarnation_of(at) else { return };
        let known = incarnation.state().and_then(|state| {
            let mut steps = state.node(state.plan().id(at.node)?).steps.values();
            steps.find(|step| {
                step.result().is_some_and(|it| it.is_ok_and(|it| it.to::<Value>().ok().as_ref() == Some(result)))
            })
        });
        let there = known.is_some();
        self.expect(there, || format!("{at:?} was answered before the answer was durable"));
    }

    /// A task got an answer, or a permanent failure (`None`). It must get the same each time.
    pub(in crate::sim) fn answered(&mut self, at: &At<'_>, answer: Option<&str>) {
        let Some(incarnation) = self.incarnation_of(at) else { return };
        let known = &mut incarnation.place(at.node, at.place).answered;
        let before = known.clone();
        if answer.is_some() {
            *known = answer.map(str::to_owned);
        }
        let same = before.is_none() || before.as_deref() == answer;
        self.expect(same, || format!("{at:?} was answered {before:?} once, and {answer:?} later"));
    }

    /// A race had this result, and something after it is durable, so the result is final.
    pub(in crate::sim) fn chose(&mut self, at: &At<'_>, choice: Option<u64>) {
        let Some(incarnation) = self.incarnation_of(at) else { return };
        let chosen = &mut incarnation.place(at.node, at.place).chosen;
        let before = chosen.replace((at.attempt, choice));
        let same = before.is_none_or(|(attempt, before)| attempt != at.attempt || before == choice);
        let mine = (at.node.clone(), at.place.to_owned());
        let taker = choice.map(|number| incarnation.takers.entry(number).or_insert_with(|| mine.clone()).clone());
        let alone = taker.as_ref().is_none_or(|taker| *taker == mine);
        self.expect(same, || format!("{at:?} came to {before:?} once, and to {choice:?} later"));
        self.expect(alone, || format!("{at:?} received signal {choice:?}, which {taker:?} had received"));
    }

    /// A step failed as interrupted. Then its process must have been lost, or its attempt must have ended, while it ran.
    pub(in crate::sim) fn interrupted(&mut self, at: &At<'_>) {
        let losses = self.losses(at.run);
        let Some(incarnation) = self.incarnation_of(at) else { return };
        let begun = incarnation.place(at.node, at.place).begun.clone();
        let was = |before: u64, attempt: u32| before < losses || attempt < at.attempt;
        let started =
            incarnation.started.iter().any(|(node, before, attempt)| node == at.node && was(*before, *attempt));
        let copied = incarnation.copied > 0 && begun.is_none();
        // The work may have been started by a process that has lost the run and does not know it yet.
        let ended = begun.map_or(started, |(before, attempt, by)| was(before, attempt) || by != at.process);
        // The steps of a loop share one key, and one of them starts; when the task is called again, another may be the first.
        let dropped = incarnation.dropped.contains(&(at.node.clone(), of_loop(at.place)));
        let holds = copied || ended || dropped;
        self.expect(holds, || format!("{at:?} failed as interrupted, and nothing has happened to its process"));
    }

    /// A task dropped a step that it had started: the next step with that key may be refused.
    pub(in crate::sim) fn dropped(&mut self, at: &At<'_>) {
        if let Some(incarnation) = self.incarnation_of(at) {
            // Treat it as started by an attempt that has ended.
            let place = incarnation.place(at.node, at.place);
            let begun = place.begun.is_some();
            place.begun = place.begun.take().map(|(losses, _, by)| (losses, 0, by));
            if begun {
                incarnation.dropped.insert((at.node.clone(), of_loop(at.place)));
            }
        }
    }

    /// A task starts plain work beside a wait. It must not be dropped while its process is alive.
    pub(in crate::sim) fn works(&mut self, at: &At<'_>) {
        let losses = self.losses(at.run);
        let Some(incarnation) = self.incarnation_of(at) else { return };
        let begun = Some((at.attempt, losses, at.process.to_owned()));
        let works = &mut incarnation.place(at.node, at.place).works;
        let dropped = *works == begun;
        *works = begun;
        self.expect(!dropped, || format!("{at:?} works again, and nothing has happened to its process"));
    }

    /// The work, or the wait beside it, has ended: a task that is called again repeats it.
    pub(in crate::sim) fn worked(&mut self, at: &At<'_>) {
        if let Some(incarnation) = self.incarnation_of(at) {
            incarnation.place(at.node, at.place).works = None;
        }
    }

    /// A task got the answer to a question, which must be its own.
    pub(in crate::sim) fn is_answer(&mut self, at: &At<'_>, question: &str) {
        let Some(incarnation) = self.incarnation_of(at) else { return };
        let index = question.parse().ok().and_then(|seq: u64| usize::try_from(Seq(seq).0).ok()?.checked_sub(1));
        let asked = index.and_then(|index| incarnation.events.get(index)).and_then(|event| match event {
            Event::QuestionAsked { node, question, .. } => Some((node.clone(), question.to::<Value>().ok()?)),
            _ => None,
        });
        let own = asked.as_ref().is_some_and(|(node, asked)| node == at.node && asked.get(1) == Some(&json!(at.place)));
        self.expect(own, || format!("{at:?} was given the answer to question {question}: {asked:?}"));
    }
}

/// The place of a loop, from the place of one of its rounds.
fn of_loop(place: &str) -> String {
    place.rsplit_once('.').map_or(place, |(of_loop, _)| of_loop).to_owned()
}
