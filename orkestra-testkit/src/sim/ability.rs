//! What a world can do beside the plain verbs. Each world has some of these: worlds with all of them would hide what only
//! shows when all else is well, and would be slow.

use crate::chance::Chance;

/// Something that only some worlds do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ability {
    /// Steps, children and nodes have names that look alike.
    Keys,
    /// Values are odd: not a number, deep, long, like a marker of the engine.
    Values,
    /// Tasks race waits, limit them in time, drop them, work beside them, spawn.
    Waits,
    /// Runs that have ended are deleted, and begun again under their ids.
    Deletes,
    /// People go on doing things to runs in calm weather.
    Busy,
    /// Single reads and writes fail in calm weather.
    Hiccups,
    /// A clock jumps ahead a year, and back.
    Jumps,
    /// The store panics once.
    Panics,
    /// Runs start by the clock.
    Schedules,
    /// Runs that ended some time ago are deleted by themselves.
    Retention,
    /// Workflows and growth hold what cannot be read back: they are refused.
    Doors,
    /// Nodes fail, and most of them pause their run then.
    Policies,
    /// Tasks race durably, and waits have time limits of their own.
    Races,
}

/// Those that are drawn, and in how many worlds each is found: one in so many.
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
    /// Its name in commands.
    #[must_use]
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// The one of this name.
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
    /// Some of them, and none of those that the settings leave out. What is drawn is the same either way.
    pub(super) fn random(seed: u64, chance: &mut Chance, without: &[Ability]) -> Self {
        let mut drawn: Vec<_> = DRAWN.into_iter().filter_map(|(it, of)| chance.one_in(of).then_some(it)).collect();
        // Not drawn: what came later leaves the other worlds as they are.
        drawn.extend(seed.is_multiple_of(3).then_some(Ability::Races));
        drawn.retain(|ability| !without.contains(ability));
        Self(drawn)
    }

    pub(super) fn has(&self, ability: Ability) -> bool {
        self.0.contains(&ability)
    }
}
