//! Creates a state that a power failure may leave: of the changes that were not durable, some survive.
//!
//! A sector contains what the page cache contained at some moment: never a later write without the earlier ones.

use std::collections::BTreeMap;

use orkestra_testkit::Chance;

use super::content::{Content, Image, PAGE};
use super::model::{Disk, DiskFile, Model, rename};
use super::trace::{Node, ROOT};

const SECTOR: u64 = 512;

/// What survives of the content of files, among what was not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Data {
    Nothing,
    All,
    /// The changes up to some moment, in their order.
    Prefix,
    AllButOne,
    One,
    SomeWrites,
    SomePages,
    SomeSectors,
    SomeFiles,
}

/// What survives of changes of names, and of lengths in the model `journal`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    Nothing,
    All,
    Some,
}

/// A way in which non-durable data is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) data: Data,
    pub(super) names: Names,
}

impl Way {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let data = [
            Data::Nothing,
            Data::All,
            Data::Prefix,
            Data::AllButOne,
            Data::One,
            Data::SomeWrites,
            Data::SomePages,
            Data::SomeSectors,
            Data::SomeFiles,
        ];
        Self { data: *chance.pick(&data), names: *chance.pick(&[Names::Nothing, Names::All, Names::Some]) }
    }
}

/// Draws the state after a power failure.
pub(super) fn crash(disk: &Disk<'_>, way: Way, chance: &mut Chance) -> Image {
    let mut entries = disk.entries.clone();
    let until = (disk.model == Model::Journal).then(|| journaled(disk, way.names, chance));
    for renaming in &disk.renamings {
        let survives = match (until, way.names) {
            (Some(until), _) => renaming.line <= until,
            (None, Names::Nothing) => false,
            (None, Names::All) => true,
            (None, Names::Some) => chance.one_in(2),
        };
        if survives {
            rename(&mut entries, renaming.names);
        }
    }
    let lines = |writes: bool| {
        let pending = disk.files.iter().flat_map(|file| &file.pending);
        let lines = pending.filter(|pending| !writes || !pending.change.is_length()).map(|pending| pending.line);
        lines.collect::<Vec<_>>()
    };
    let mut pick = |lines: Vec<usize>| if lines.is_empty() { 0 } else { *chance.pick(&lines) };
    let (cut, one) = (pick(lines(false)), pick(lines(true)));
    let percent = *chance.pick(&[10, 30, 50, 70, 90, 97]);
    let mut remains = Remains { disk, entries, until, data: way.data, cut, one, percent, chance };
    remains.image(ROOT)
}

/// The line up to which names and lengths survive in the model `journal`.
fn journaled(disk: &Disk<'_>, names: Names, chance: &mut Chance) -> usize {
    match names {
        Names::Nothing => disk.journaled,
        Names::All => usize::MAX,
        Names::Some => {
            let pending = disk.files.iter().flat_map(|file| &file.pending).map(|pending| pending.line);
            let lines = pending.chain(disk.renamings.iter().map(|renaming| renaming.line));
            let lines: Vec<_> = lines.filter(|line| *line > disk.journaled).chain([disk.journaled]).collect();
            *chance.pick(&lines)
        }
    }
}

/// What is left of a disk.
struct Remains<'d, 't> {
    disk: &'d Disk<'t>,
    entries: Vec<BTreeMap<String, Node>>,
    /// The line up to which names and lengths survive, in the model `journal`.
    until: Option<usize>,
    data: Data,
    /// The last line that survives, for `Data::Prefix`.
    cut: usize,
    /// The line of a single write, for `Data::One` and `Data::AllButOne`.
    one: usize,
    /// How likely a change survives, where each is drawn.
    percent: usize,
    chance: &'d mut Chance,
}

/// Which changes each sector of a file has seen.
enum Fate {
    /// Whether each change survives, and the one that is torn: each of its sectors is drawn.
    Chosen(Vec<bool>, Option<usize>),
    /// How many changes each page has seen.
    Pages(BTreeMap<u64, usize>),
    /// Each sector is drawn.
    Sectors,
}

impl Remains<'_, '_> {
    fn image(&mut self, node: Node) -> Image {
        if !self.disk.is_directory(node) {
            return Image::File(self.content(&self.disk.files[node.0]));
        }
        let entries = self.entries[node.0].clone();
        Image::Directory(entries.into_iter().map(|(name, node)| (name, self.image(node))).collect())
    }

    fn lucky(&mut self) -> bool {
        self.chance.below(100) < self.percent
    }

    /// How many of the changes have changed the file's length.
    fn lengths(&mut self, file: &DiskFile<'_>) -> usize {
        let count = file.pending.len();
        let up_to = |line: usize| file.pending.iter().filter(|pending| pending.line <= line).count();
        match (self.until, self.data) {
            (Some(until), _) => up_to(until),
            (None, Data::Nothing) => 0,
            (None, Data::All | Data::AllButOne) => count,
            (None, Data::Prefix) => up_to(self.cut),
            (None, _) => {
                let some = self.chance.below(count + 1);
                *self.chance.pick(&[0, count, some])
            }
        }
    }

    fn content(&mut self, file: &DiskFile<'_>) -> Content {
        let mut content = file.content.clone();
        if file.pending.is_empty() {
            return content;
        }
        let counted = self.lengths(file);
        let changes = file.pending.iter().take(counted);
        let length = changes.fold(content.length, |length, pending| pending.change.length(length));
        let mut touched: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (number, pending) in file.pending.iter().enumerate() {
            let (from, to) = pending.change.range();
            (from / SECTOR..to.div_ceil(SECTOR)).for_each(|sector| touched.entry(sector).or_default().push(number));
        }
        let mut fate = self.fate(file);
        let durable = file.content.length;
        for (sector, touching) in touched {
            let (low, high) = (sector * SECTOR, (sector + 1) * SECTOR);
            let survives = self.survive(&mut fate, file.pending.len(), sector, &touching);
            let must = |number: usize| {
                let (pending, counts) = (&file.pending[number], number < counted);
                // In a journaling file system a new length brings its data.
                let brought = self.until.is_some() && high > durable;
                pending.kept || (counts && (brought || pending.change.is_length()))
            };
            let must = touching.iter().rposition(|number| must(*number)).map_or(0, |at| at + 1);
            for number in &touching[..survives.max(must)] {
                file.pending[*number].change.apply(&mut content, low, high);
            }
        }
        content.set_length(length);
        content
    }

    fn fate(&mut self, file: &DiskFile<'_>) -> Fate {
        let lines = || file.pending.iter().map(|pending| pending.line);
        let (cut, one) = (self.cut, self.one);
        let torn = if self.data == Data::Prefix { cut } else { one };
        let torn = lines().position(|line| line == torn).filter(|_| self.chance.one_in(2));
        match self.data {
            Data::Nothing => Fate::Chosen(lines().map(|_| false).collect(), None),
            Data::All => Fate::Chosen(lines().map(|_| true).collect(), None),
            Data::SomeFiles => {
                let survives = self.chance.one_in(2);
                Fate::Chosen(lines().map(|_| survives).collect(), None)
            }
            Data::Prefix => Fate::Chosen(lines().map(|line| line <= cut).collect(), torn),
            Data::AllButOne => Fate::Chosen(lines().map(|line| line != one).collect(), None),
            Data::One => Fate::Chosen(lines().map(|line| line == one).collect(), torn),
            Data::SomeWrites => Fate::Chosen(lines().map(|_| self.lucky()).collect(), torn),
            Data::SomePages => Fate::Pages(BTreeMap::new()),
            Data::SomeSectors => Fate::Sectors,
        }
    }

    /// How many of the changes in `touching` the sector has seen.
    fn survive(&mut self, fate: &mut Fate, changes: usize, sector: u64, touching: &[usize]) -> usize {
        match fate {
            Fate::Chosen(chosen, torn) => {
                let mut survives = |number: usize| chosen[number] && (*torn != Some(number) || self.chance.one_in(2));
                touching.iter().rposition(|number| survives(*number)).map_or(0, |at| at + 1)
            }
            Fate::Pages(pages) => {
                let seen = *pages
                    .entry(sector * SECTOR / PAGE)
                    .or_insert_with(|| if self.lucky() { changes } else { self.chance.below(changes + 1) });
                touching.iter().filter(|number| **number < seen).count()
            }
            Fate::Sectors if self.lucky() => touching.len(),
            Fate::Sectors => self.chance.below(touching.len() + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::model::MODELS;
    use crate::replay::trace::{Naming, Record, Trace, What};

    const F: Node = Node(1);
    const G: Node = Node(2);

    /// A trace with two files.
    fn trace(whats: Vec<What>) -> Trace {
        let records = (1..).zip(whats).map(|(line, what)| Record { line, what }).collect();
        Trace { records, directories: vec![true, false, false] }
    }

    fn make(node: Node) -> What {
        let name = if node == F { "f" } else { "g" };
        What::Named { node, names: vec![Naming { directory: ROOT, name: name.into(), node: Some(node) }] }
    }

    fn remove(node: Node) -> What {
        let name = if node == F { "f" } else { "g" };
        What::Named { node, names: vec![Naming { directory: ROOT, name: name.into(), node: None }] }
    }

    /// Writes a page full of one letter.
    fn page(file: Node, number: u64, letter: u8) -> What {
        What::Write { file, offset: number * PAGE, bytes: vec![letter; 4096] }
    }

    fn sync(node: Node, began: usize) -> What {
        What::Synced { node, began }
    }

    fn range(file: Node, page: u64, began: usize) -> What {
        What::Ranged { file, from: page * PAGE, to: (page + 1) * PAGE, began }
    }

    /// Shows every file with the letters of its pages.
    fn show(image: &Image) -> String {
        let Image::Directory(entries) = image else { panic!("the root is a directory") };
        let show = |(name, entry): (&String, &Image)| {
            let Image::File(content) = entry else { panic!("{name} is a file") };
            let letter = |page| char::from(content.byte(page * PAGE).max(b'0'));
            format!("{name}={}", (0..content.length.div_ceil(PAGE)).map(letter).collect::<String>())
        };
        entries.iter().map(show).collect::<Vec<_>>().join(" ")
    }

    fn left(trace: &Trace, model: Model, data: Data, names: Names, seed: u64) -> String {
        let mut disk = Disk::new(trace, model);
        disk.go_to(trace.records.len());
        show(&crash(&disk, Way { data, names }, &mut Chance::new(seed)))
    }

    #[test]
    fn what_a_sync_promises_differs_by_model() {
        let made = || vec![make(F), make(G), page(F, 0, b'a'), sync(F, 9), sync(G, 9), sync(ROOT, 9)];
        let and = |more: Vec<What>| made().into_iter().chain(more).collect::<Vec<_>>();
        // What each model has at least, and what may be there at most.
        let cases = [
            (vec![make(F), page(F, 0, b'a')], ["", "", ""], "f=a"),
            (vec![make(F), page(F, 0, b'a'), sync(F, 3)], ["f=a", "f=a", ""], "f=a"),
            (vec![make(F), make(G), sync(G, 3)], ["f= g=", "g=", ""], "f= g="),
            // A sync covers what had ended when it began.
            (and(vec![page(F, 0, b'b'), sync(F, 7)]), ["f=a g="; 3], "f=b g="),
            (and(vec![page(F, 0, b'b'), sync(F, 8)]), ["f=b g="; 3], "f=b g="),
            // sync_file_range writes to the disk's cache, which the next sync of another file flushes.
            (and(vec![page(F, 0, b'b'), range(F, 0, 8)]), ["f=a g="; 3], "f=b g="),
            (and(vec![page(F, 0, b'b'), range(F, 0, 8), sync(G, 8)]), ["f=a g="; 3], "f=b g="),
            (and(vec![page(F, 0, b'b'), range(F, 0, 8), sync(G, 9)]), ["f=b g=", "f=a g=", "f=a g="], "f=b g="),
            // Beyond the durable length it is lost anyway: the weakness of sled's segments.
            (and(vec![page(F, 1, b'b'), range(F, 1, 8), sync(G, 9)]), ["f=a g="; 3], "f=ab g="),
            (and(vec![What::Length { file: F, length: 0 }]), ["f=a g="; 3], "f= g="),
            (and(vec![remove(F), sync(G, 8)]), ["f=a g="; 3], "g="),
            (and(vec![remove(F), sync(ROOT, 8)]), ["g="; 3], "g="),
        ];
        for (number, (whats, certain, all)) in cases.into_iter().enumerate() {
            let trace = trace(whats);
            let nothing = MODELS.map(|model| left(&trace, model, Data::Nothing, Names::Nothing, 1));
            assert_eq!(nothing, certain, "case {number}");
            let everything = MODELS.map(|model| left(&trace, model, Data::All, Names::All, 1));
            assert_eq!(everything, [all; 3], "case {number}");
        }
    }

    #[test]
    fn a_later_write_to_a_sector_never_survives_without_the_earlier_one() {
        let half = What::Write { file: F, offset: 0, bytes: vec![b'c'; 256] };
        let trace = trace(vec![make(F), page(F, 0, b'a'), sync(F, 3), sync(ROOT, 4), page(F, 0, b'b'), half]);
        for model in MODELS {
            let mut disk = Disk::new(&trace, model);
            disk.go_to(trace.records.len());
            let mut seen = std::collections::BTreeSet::new();
            for seed in 0..400 {
                let mut chance = Chance::new(seed);
                let way = Way::draw(&mut chance);
                let Image::Directory(entries) = crash(&disk, way, &mut chance) else {
                    panic!("the root is a directory")
                };
                let Image::File(content) = &entries["f"] else { panic!("f is a file") };
                seen.insert([0, 256, 512].map(|offset| char::from(content.byte(offset))));
            }
            // The half page was written last: its sector contains the page before it as well.
            let halves: Vec<_> = seen.iter().filter(|[first, ..]| *first == 'c').collect();
            assert!(halves.iter().all(|[_, second, _]| *second == 'b'), "{model}: {seen:?}");
            let some = [['a'; 3], ['b'; 3], ['c', 'b', 'b'], ['c', 'b', 'a'], ['a', 'a', 'b']];
            assert!(some.iter().all(|one| seen.contains(one)), "{model}: {seen:?}");
        }
    }
}
