//! The limiter by tables, and by chance: never more holders than allowed, nobody forgotten.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn claim(run: &str, slots: &[&str], priority: i32) -> Claim {
    let slot = |text: &&str| match text.split_once('=') {
        Some((limit, key)) => SlotKey { limit: name(limit), key: Some(key.to_owned()) },
        None => SlotKey { limit: name(text), key: None },
    };
    let run = RunId::new(run).expect("an id");
    Claim { run, node: name("n"), attempt: 1, slots: slots.iter().map(slot).collect(), priority }
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn granted(limiter: &mut Limiter, millis: u64) -> Vec<String> {
    limiter.grants(at(millis)).0.into_iter().map(|claim| claim.run.to_string()).collect()
}

fn release(limiter: &mut Limiter, run: &str) {
    limiter.release(&RunId::new(run).expect("an id"), &name("n"));
}

#[test]
fn so_many_at_once_by_priority_then_by_arrival() {
    let mut limiter = Limiter::new(vec![Limit::concurrency("cpu", 2)]);
    for (run, priority) in [("a", 0), ("b", 0), ("c", 5), ("d", 0)] {
        limiter.request(at(0), claim(run, &["cpu"], priority));
    }
    assert_eq!(granted(&mut limiter, 0), ["c", "a"]);
    assert!(granted(&mut limiter, 1).is_empty());
    release(&mut limiter, "c");
    release(&mut limiter, "c");
    assert_eq!(granted(&mut limiter, 2), ["b"]);
    limiter.cancel(&RunId::new("d").expect("an id"), &name("n"));
    release(&mut limiter, "a");
    release(&mut limiter, "b");
    assert!(granted(&mut limiter, 3).is_empty());
    assert_eq!(limiter.waiting(), 0);
}

#[test]
fn each_key_has_slots_of_its_own() {
    let mut limiter = Limiter::new(vec![Limit::concurrency("project", 1)]);
    limiter.request(at(0), claim("a", &["project=x"], 0));
    limiter.request(at(0), claim("b", &["project=x"], 0));
    limiter.request(at(0), claim("c", &["project=y"], 0));
    assert_eq!(granted(&mut limiter, 0), ["a", "c"]);
}

#[test]
fn what_was_held_before_is_held_still() {
    let mut limiter = Limiter::new(vec![Limit::concurrency("cpu", 1)]);
    limiter.hold(at(0), claim("a", &["cpu"], 0));
    limiter.hold(at(0), claim("b", &["cpu"], 0));
    limiter.request(at(0), claim("c", &["cpu"], 0));
    assert!(granted(&mut limiter, 0).is_empty());
    release(&mut limiter, "a");
    assert!(granted(&mut limiter, 0).is_empty());
    release(&mut limiter, "b");
    assert_eq!(granted(&mut limiter, 0), ["c"]);
}

#[test]
fn tokens_come_back_with_time_and_not_with_a_clock_that_jumps() {
    let mut limiter = Limiter::new(vec![Limit::rate("api", 2, Duration::from_secs(1))]);
    for run in ["a", "b", "c", "d"] {
        limiter.request(at(5_000), claim(run, &["api"], 0));
    }
    let (first, next) = limiter.grants(at(5_000));
    assert_eq!((first.len(), next), (2, Some(at(5_500))));
    assert!(granted(&mut limiter, 5_499).is_empty());
    assert_eq!(granted(&mut limiter, 5_500), ["c"]);
    assert!(granted(&mut limiter, 1_000).is_empty(), "the clock went back");
    assert_eq!(granted(&mut limiter, 1_500), ["d"]);
    assert_eq!(limiter.grants(at(9_000)).1, None, "nobody waits");
}

#[test]
fn a_claim_that_needs_several_slots_is_not_starved() {
    let mut limiter = Limiter::new(vec![Limit::concurrency("cpu", 1), Limit::concurrency("gpu", 1)]);
    limiter.hold(at(0), claim("holder", &["gpu"], 0));
    limiter.request(at(0), claim("both", &["cpu", "gpu"], 0));
    let mut passed = 0;
    for number in 0..200 {
        let run = format!("r{number}");
        limiter.request(at(0), claim(&run, &["cpu"], 0));
        if granted(&mut limiter, 0) == [run.clone()] {
            passed += 1;
            release(&mut limiter, &run);
        }
    }
    assert_eq!(passed, PASSES_MAX);
    release(&mut limiter, "holder");
    assert_eq!(granted(&mut limiter, 0), ["both"]);
}

#[test]
fn by_chance_never_too_many_and_nobody_forgotten() {
    for seed in 0..200_u64 {
        let mut chance = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = |below: u64| {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            chance % below
        };
        let mut limiter = Limiter::new(vec![Limit::concurrency("a", 2), Limit::concurrency("b", 1)]);
        let (mut asked, mut began, mut held) = (BTreeSet::new(), BTreeSet::new(), Vec::<Claim>::new());
        for turn in 0..120_u64 {
            if next(3) < 2 && turn < 80 {
                let run = format!("r{turn}");
                let slots: &[&str] =
                    [&["a"][..], &["b"][..], &["a", "b"][..], &["a=k"][..]][usize::try_from(next(4)).expect("small")];
                limiter.request(at(turn), claim(&run, slots, i32::try_from(next(3)).expect("small")));
                asked.insert(run);
            } else if !held.is_empty() {
                let gone = held.swap_remove(usize::try_from(next(held.len() as u64)).expect("small"));
                limiter.release(&gone.run, &gone.node);
            }
            for claim in limiter.grants(at(turn)).0 {
                assert!(began.insert(claim.run.to_string()), "granted once");
                held.push(claim);
            }
            let holders = |slot: &SlotKey| held.iter().filter(|claim| claim.slots.contains(slot)).count();
            assert!(holders(&claim("x", &["a"], 0).slots[0]) <= 2);
            assert!(holders(&claim("x", &["b"], 0).slots[0]) <= 1);
        }
        while !held.is_empty() {
            for gone in held.split_off(0) {
                limiter.release(&gone.run, &gone.node);
            }
            for claim in limiter.grants(at(1_000)).0 {
                began.insert(claim.run.to_string());
                held.push(claim);
            }
        }
        assert_eq!(asked, began, "seed {seed}");
        assert_eq!(limiter.waiting(), 0);
    }
}
