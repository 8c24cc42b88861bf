//! Power failures of Postgres: the data of a temporary server is on an image, and another server starts on the copy.
//!
//! Under `Fsync` everything acknowledged must be there. Under `Engine` the newest writes may be missing, but nothing
//! may be half-written.

use std::io::ErrorKind;
use std::time::Duration;

use orkestra_core::store::Store;
use orkestra_store::transfer::survey;
use orkestra_store::{PostgresDurability, PostgresStore};
use orkestra_testkit::Chance;
use orkestra_testkit::postgres::Server;

use crate::support::acknowledged::Acknowledged;
use crate::support::child::{command, report_line};

use super::churn;
use super::disk::{Disks, FileSystem, Image, Mounted};
use super::life::{Life, Remains};
use super::moment;

/// How old an acknowledgement must be for `Engine` to keep it: five times the promised time, for a loaded machine.
const KEPT_AFTER: Duration = Duration::from_secs(3);

async fn open(server: &str, durability: &str) -> PostgresStore {
    let durability = match durability {
        "fsync" => PostgresDurability::Fsync,
        "engine" => PostgresDurability::Engine,
        other => panic!("unknown durability `{other}`"),
    };
    PostgresStore::options().with_durability(durability).connect(server).await.expect("the store opens")
}

/// `churn-postgres <url> <durability> <seed>`: writes until it is killed, and reports what was acknowledged.
pub(super) async fn churn(words: &[&str]) {
    let store = open(words[0], words[1]).await;
    churn::write(&store, words[2].parse().expect("a seed"), 1).await;
}

/// `cut-postgres <file system> <durability> <cuts> <seed>`: reports like the part `cut`.
pub(super) async fn cut(words: &[&str]) {
    let (file_system, durability) = (FileSystem::named(words[0]), words[1]);
    let cuts: usize = words[2].parse().expect("a number of cuts");
    let disks = match Disks::new(file_system) {
        Ok(disks) => disks,
        Err(why) => return report_line(format!("impossible {}", why.replace('\n', " "))),
    };
    let left = Remains { image: disks.empty("live").expect("an image"), lines: Vec::new() };
    let mounted = disks.mount(&left.image).expect("it is mounted");
    let server = match Server::start_at(&mounted.path().join("pg")) {
        Err(error) if error.kind() == ErrorKind::NotFound => return report_line(format!("impossible {error}")),
        server => server.expect("the server starts"),
    };
    // A temporary cluster is not synced when it is created.
    disks.sync(&mounted).expect("it is synced");
    let mut chance = Chance::new(words[3].parse().expect("a seed"));
    let url = server.socket_url();
    let writer = command(&[], "churn-postgres", &[&url, durability, words[3]]);
    let mut life = Life::start(writer, left, &disks).expect("the writer starts");
    let mut reports = 0;
    for cut in 1..=cuts {
        let left = cut_once(&mut life, durability, &mut chance, &disks).expect("the disks work");
        reports = left.lines.len();
        let wrong = match life.death() {
            Some(why) => Err(why),
            None => judge(&disks, &left, durability).await,
        };
        if let Err(why) = wrong {
            let path = std::env::temp_dir().join(format!("orkestra-power-postgres-{}-{cut}.image", words[3]));
            left.image.keep(&path).expect("it is kept");
            let why = why.replace('\n', " ");
            return report_line(format!(
                "found postgres, {durability}, cut {cut}, {reports} reports: {why}; the image: {}",
                path.display()
            ));
        }
    }
    report_line(format!(
        "sum power: postgres on {}, {durability}: {cuts} cuts, 0 lost; {reports} reports",
        file_system.name()
    ));
}

fn cut_once(life: &mut Life, durability: &str, chance: &mut Chance, disks: &Disks) -> Result<Remains, String> {
    life.signal("-CONT")?;
    life.wait_until_open();
    moment::pass(chance, Duration::from_millis(500));
    if durability == "fsync" {
        return life.cut(disks, "left");
    }
    let heard = life.heard();
    // The promise of `Engine` is about time.
    std::thread::park_timeout(KEPT_AFTER);
    life.cut_since(heard, disks, "left")
}

/// What is wrong with the copy after another server has recovered it.
async fn judge(disks: &Disks, left: &Remains, durability: &str) -> Result<(), String> {
    let (_image, mounted) = judged(disks, left)?;
    let server = Server::start_at(&mounted.path().join("pg")).map_err(|error| error.to_string())?;
    let store = open(&server.socket_url(), durability).await;
    let mut reports = Acknowledged::where_letters_begin_anew();
    left.lines.iter().for_each(|line| reports.hear(line));
    reports.compare(&store as &dyn Store).await?;
    let survey = survey(&store).await.map_err(|error| error.to_string())?;
    if survey.damage.is_empty() { Ok(()) } else { Err(format!("damaged: {:?}", survey.damage)) }
}

fn judged(disks: &Disks, left: &Remains) -> Result<(Image, Mounted), String> {
    let image = disks.copy(&left.image, "judged")?;
    let mounted = disks.mount(&image)?;
    Ok((image, mounted))
}
