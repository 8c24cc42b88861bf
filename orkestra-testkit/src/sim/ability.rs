//! What a world can do besides the plain verbs. Each world has some of these abilities: worlds with all of them would be slow
//! and would hide faults that only show when everything else works.

use crate::chance::Chance;

/// An ability that only some worlds have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ability {
    /// Steps, children and nodes have similar names.
    Keys,
    /// Values are unusual: not a number, deeply nested, long, or similar to a marker of the engine.
    Values,
    /// Tasks race waits, put timeouts around them, drop them, work beside them, and spawn.
    Waits,
    /// Ended runs are deleted, and started again with the same ids.
    Deletes,
    /// Clients keep acting on runs in the quiet phase.
    Busy,
    /// Single reads and writes fail in the quiet phase.
    Hiccups,
    /// A clock jumps ahead a year, and back.
    Jumps,
    /// The store panics once.
    Panics,
    /// A schedule starts runs.
    Schedules,
    /// Retention deletes runs some time after they ended.
    Retention,
    /// Workflows and growths contain what could not be read back from a journal, and must be refused.
    Doors,
    /// Nodes fail, and most of them then pause their run.
    Policies,
    /// Tasks use durable races, and waits with timeouts of their own.
    Races,
}

/// The abilities that are drawn, and how often: one world in this many has it.
const DRAWN: [(Ability, usize); 12] = [
    (Ability::Keys, 3),
    (Ability::Values, 4),
    (Ability::Waits, 2),
    (Ability::Deletes, 4),
    (Ability::Busy, 4),
    (Ability::Hiccups, 5),
    (Ability::Jumps, 10),
    (Ability::Panics, 12),
    (Ability::Schedules, 8),
    (Ability::Retention, 12),
    (Ability::Doors, 15),
    (Ability::Policies, 8),
];

impl Ability {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// The ability with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let all = DRAWN.into_iter().map(|(ability, _)| ability).chain([Ability::Races]);
        all.into_iter().find(|ability| ability.name() == name)
    }
}

/// The abilities of one world.
#[derive(Clone, Debug)]
pub(super) struct Abilities(Vec<Ability>);

impl Abilities {
    /// Random abilities, except those in `without`. The random draws are the same either way.
    pub(super) fn random(seed: u64, chance: &mut Chance, without: &[Ability]) -> Self {
        let mut drawn: Vec<_> = DRAWN.into_iter().filter_map(|(it, of)| chance.one_in(of).then_some(it)).collect();
        // Not drawn, so that worlds without this later ability stay as they were.
        drawn.extend(seed.is_multiple_of(3).then_some(Ability::Races));
        drawn.retain(|ability| !without.contains(ability));
        Self(drawn)
    }

    pub(super) fn has(&self, ability: Ability) -> bool {
        self.0.contains(&ability)
    }
}
