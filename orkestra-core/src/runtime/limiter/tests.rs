//! What the limiter grants, as tables and for random orders of requests.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// `limit` or `limit[key]`, separated by blanks.
fn slots(text: &str) -> Vec<SlotKey> {
    let slot = |text: &str| match text.strip_suffix(']').and_then(|text| text.split_once('[')) {
        Some((limit, key)) => SlotKey { limit: name(limit), key: Some(key.to_owned()) },
        None => SlotKey { limit: name(text), key: None },
    };
    text.split_whitespace().map(slot).collect()
}

fn slot_request(run: &str, wants: &str, priority: i32) -> SlotRequest {
    SlotRequest { run: RunId::new(run).expect("an id"), node: name("n"), attempt: 1, slots: slots(wants), priority }
}

struct World {
    limiter: Limiter,
    now: u64,
}

impl World {
    fn new(limits: Vec<Limit>) -> Self {
        Self { limiter: Limiter::new(limits), now: 1_000_000 }
    }

    fn ask(&mut self, run: &str, wants: &str) -> &mut Self {
        self.ask_with(run, wants, 0)
    }

    fn ask_with(&mut self, run: &str, wants: &str, priority: i32) -> &mut Self {
        self.limiter.request(at(self.now), slot_request(run, wants, priority));
        self
    }

    fn end(&mut self, run: &str) -> &mut Self {
        self.limiter.release(&RunId::new(run).expect("an id"), &name("n"));
        self
    }

    fn leave(&mut self, run: &str) -> &mut Self {
        self.limiter.cancel(&RunId::new(run).expect("an id"), &name("n"));
        self
    }

    /// What is granted now, and in how many milliseconds to ask again.
    fn granted(&mut self) -> (String, Option<u64>) {
        let (granted, next) = self.limiter.grants(at(self.now));
        let runs: Vec<_> = granted.iter().map(|request| request.run.as_str().to_owned()).collect();
        (runs.join(" "), next.map(|next| next.as_millis() - self.now))
    }

    #[track_caller]
    fn check(&mut self, runs: &str) -> &mut Self {
        assert_eq!(self.granted().0, runs);
        self
    }
}

#[test]
fn each_key_counts_apart_and_priority_goes_first() {
    let mut world = World::new(vec![Limit::concurrency("api", 2)]);
    world.ask("a", "api").ask("b", "api").ask("c", "api").ask("x", "api[k]").check("a b x");
    world.ask_with("d", "api", 5).ask("e", "api").check("");
    world.end("a").check("d").end("b").check("c").end("x").check("").leave("e").end("c").check("");
    world.ask("f", "api").check("f");
}

#[test]
fn all_slots_or_none() {
    let mut world = World::new(vec![Limit::concurrency("a", 1), Limit::concurrency("b", 1)]);
    world.ask("one", "a b").check("one");
    world.ask("two", "b a a").ask("three", "a").ask("four", "b").check("");
    world.end("one").check("two").end("two").check("three four");
}

#[test]
fn what_nobody_defined_limits_nothing() {
    let mut world = World::new(vec![Limit::concurrency("a", 1)]);
    world.ask("one", "").ask("two", "unheard-of").check("one two").ask("one", "").check("").end("one");
    world.ask("one", "").leave("one").check("").ask("one", "").check("one");
}

#[test]
fn a_known_attempt_keeps_its_place_and_a_new_one_takes_it() {
    let mut world = World::new(vec![Limit::concurrency("a", 1)]);
    world.ask("one", "a").check("one").ask("two", "a").ask("three", "a").ask("two", "a").check("");
    let again = SlotRequest { attempt: 2, ..slot_request("one", "a", 0) };
    world.limiter.request(at(world.now), again);
    world.check("two").end("two").check("three").end("three").check("one");
}

#[test]
fn what_ran_before_a_restart_holds_more_than_the_limit() {
    let mut world = World::new(vec![Limit::concurrency("a", 1).with_rate(1, Duration::from_secs(1))]);
    world.limiter.hold(at(world.now), &slot_request("one", "a", 0));
    world.limiter.hold(at(world.now), &slot_request("two", "a", 0));
    world.limiter.hold(at(world.now), &slot_request("two", "a", 0));
    world.ask("three", "a").check("").end("one").check("").end("two").check("three");
}

#[test]
fn a_rate_says_when_to_ask_again() {
    let mut world = World::new(vec![Limit::concurrency("api", 3).with_rate(2, Duration::from_secs(1))]);
    for run in ["a", "b", "c", "d"] {
        world.ask(run, "api");
    }
    assert_eq!(world.granted(), ("a b".into(), Some(500)));
    assert_eq!(world.granted(), (String::new(), Some(500)));
    world.now += 500;
    assert_eq!(world.granted(), ("c".into(), None), "the fourth waits for a place, not for the clock");
    world.now += 10;
    world.end("a");
    assert_eq!(world.granted(), (String::new(), Some(490)));
    world.now -= 300_000;
    assert_eq!(world.granted(), (String::new(), Some(490)), "the clock jumped back");
    world.now += 490;
    assert_eq!(world.granted(), ("d".into(), None));
}

#[test]
fn one_busy_key_does_not_hold_up_the_others() {
    let mut world = World::new(vec![Limit::concurrency("api", 2), Limit::concurrency("tenant", 1)]);
    world.ask("x0", "api tenant[x]").check("x0");
    for run in 1..1000 {
        world.ask(&format!("x{run}"), "api tenant[x]");
    }
    for run in 0..100 {
        let run = format!("y{run}");
        world.ask(&run, "api tenant[y]").check(&run).end(&run);
    }
    world.end("x0").check("x1");
}

/// `a` and `b` are held alternately, so that both are never free while `both` waits for them.
fn passed_seven_times(world: &mut World) {
    world.ask("a0", "a").ask("b0", "b").check("a0 b0").ask("both", "a b").check("");
    for pass in 1..8 {
        for slot in ["a", "b"] {
            let (old, new) = (format!("{slot}{}", pass - 1), format!("{slot}{pass}"));
            world.ask(&new, slot).end(&old).check(&new);
        }
    }
}

#[test]
fn a_claim_of_several_slots_is_not_passed_for_ever() {
    let mut world = World::new(vec![Limit::concurrency("a", 1), Limit::concurrency("b", 1)]);
    passed_seven_times(&mut world);
    world.ask("a8", "a").end("a7").check("a8");
    world.ask("b8", "b").end("b7").check("").ask_with("urgent", "b", 1).check("urgent").end("urgent").check("");
    world.ask("a9", "a").end("a8").check("both").end("both").check("b8 a9");
}

#[test]
fn slots_that_are_kept_are_free_again_when_their_claim_leaves() {
    let mut world = World::new(vec![Limit::concurrency("a", 1), Limit::concurrency("b", 1)]);
    passed_seven_times(&mut world);
    world.ask("a8", "a").end("a7").check("a8").ask("later", "b").end("b7").check("").leave("both").check("later");
}

#[test]
fn memory_goes_with_the_keys() {
    let mut world = World::new(vec![Limit::concurrency("a", 1).with_rate(5, Duration::from_secs(1))]);
    for run in 0..10_000 {
        let run = format!("r{run}");
        world.now += 10;
        world.ask(&run, &format!("a[{run}]")).check(&run).end(&run).check("");
    }
    let Limiter { instances, lines, places, to_check, wake_ups, .. } = &world.limiter;
    assert!(instances.len() < 1000, "{}", instances.len());
    assert_eq!((lines.len(), places.len(), to_check.len(), wake_ups.len()), (0, 0, 0, 0));
}

#[derive(Clone, Debug)]
enum Move {
    Ask { run: u8, wants: Vec<u8>, priority: i32 },
    Hold { run: u8, wants: Vec<u8> },
    Leave(u8),
    End(u8),
    Pass(u64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let wants = || prop::collection::vec(0..5_u8, 0..4);
    let one = prop_oneof![
        6 => (0..24_u8, wants(), -1..2).prop_map(|(run, wants, priority)| Move::Ask { run, wants, priority }),
        1 => (0..24_u8, wants()).prop_map(|(run, wants)| Move::Hold { run, wants }),
        1 => (0..24_u8).prop_map(Move::Leave),
        4 => (0..24_u8).prop_map(Move::End),
        2 => (0..1500_u64).prop_map(Move::Pass),
    ];
    prop::collection::vec(one, 0..120)
}

const KINDS: [(&str, usize); 5] = [("a", 1), ("b[x]", 2), ("b[y]", 2), ("c", 3), ("r", usize::MAX)];

fn limits() -> Vec<Limit> {
    let rate = Limit::rate("r", 2, Duration::from_secs(1));
    vec![Limit::concurrency("a", 1), Limit::concurrency("b", 2), Limit::concurrency("c", 3), rate]
}

/// What is visible from outside: who holds what, and who waits.
#[derive(Default)]
struct Model {
    held: BTreeMap<String, (BTreeSet<u8>, bool)>,
    waits: BTreeMap<String, BTreeSet<u8>>,
    trace: Vec<String>,
}

impl Model {
    fn step(&mut self, world: &mut World, step: &Move) {
        let kinds = |wants: &[u8]| wants.iter().map(|kind| KINDS[usize::from(*kind)].0).collect::<Vec<_>>().join(" ");
        let name = |run: &u8| format!("r{run}");
        match step {
            Move::Ask { run, wants, priority } => {
                let run = name(run);
                world.ask_with(&run, &kinds(wants), *priority);
                if !self.held.contains_key(&run) && !self.waits.contains_key(&run) {
                    self.waits.insert(run, wants.iter().copied().collect());
                }
            }
            Move::Hold { run, wants } => {
                let run = name(run);
                world.limiter.hold(at(world.now), &slot_request(&run, &kinds(wants), 0));
                self.waits.remove(&run);
                self.held.entry(run).or_insert_with(|| (wants.iter().copied().collect(), true));
            }
            Move::Leave(run) => {
                world.leave(&name(run));
                self.waits.remove(&name(run));
            }
            Move::End(run) => {
                world.end(&name(run));
                self.held.remove(&name(run));
            }
            Move::Pass(millis) => world.now += millis,
        }
        self.grant(world);
    }

    fn grant(&mut self, world: &mut World) -> Option<u64> {
        let (granted, next) = world.granted();
        for run in granted.split_whitespace() {
            self.trace.push(format!("{run} at {}", world.now));
            let wants = self.waits.remove(run).expect("only those who wait are granted");
            for kind in wants.iter().filter(|kind| KINDS[usize::from(**kind)].1 != usize::MAX) {
                let (slot, most) = KINDS[usize::from(*kind)];
                let holders = self.held.values().filter(|(held, _)| held.contains(kind)).count();
                assert!(holders < most, "{run} is one too many for {slot}");
            }
            self.held.insert(run.to_owned(), (wants, false));
        }
        next
    }
}

proptest! {
    #[test]
    fn never_too_many_and_never_stuck(moves in moves()) {
        let play = || {
            let (mut world, mut model) = (World::new(limits()), Model::default());
            moves.iter().for_each(|step| model.step(&mut world, step));
            // No more requests arrive, and all holders end: every waiting request must be granted.
            let mut rounds = 0;
            while !model.waits.is_empty() {
                let held: Vec<String> = std::mem::take(&mut model.held).into_keys().collect();
                let nobody = held.is_empty();
                for run in &held {
                    world.end(run);
                }
                let before = model.waits.len();
                let next = model.grant(&mut world);
                if nobody && before == model.waits.len() {
                    world.now += next.expect("a request that no holder blocks waits for the clock");
                    model.grant(&mut world);
                }
                rounds += 1;
                assert!(rounds < 200, "stuck: {:?}", model.waits);
            }
            model.trace
        };
        prop_assert_eq!(play(), play());
    }
}
