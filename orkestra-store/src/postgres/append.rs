//! Group commit: one statement judges and writes a batch, commit by commit.
//!
//! ```text
//! batch -> rounds of chains -> statement -> where each journal ended, what was written -> one answer per commit
//! ```
//!
//! The statement decides on rows that it has locked. A chain that another session interfered with is judged again. A doubt
//! must never become an `Ok` or a `Conflict`: where the snapshot of the statement may be older than the lock, the journal is
//! read again.

use std::collections::HashSet;

use sqlx::postgres::PgRow;

use orkestra_core::model::{Epoch, RunId, Seq};
use orkestra_core::store::{Append, AppendError, RunRecord, StoreError, StoreErrorKind};

use super::chains::{self, Chain};
use super::error::DatabaseError;
use super::labels;
use super::pool::{Pool, Statement};
use super::row::{column, record_text, signed, unsigned};

const FULL: &str = include_str!("sql/append.sql");
const BARE: &str = include_str!("sql/append_bare.sql");
const LONE: &str = include_str!("sql/append_lone.sql");

/// How often a chain is judged: again after a deadlock, or when another worker started the same run at the same time.
/// More tries than this are not bad luck.
const TRIES_MAX: usize = 8;

type Answer = Result<(), AppendError>;

/// Writes a batch. The answers are in its order.
pub(super) async fn append(pool: &Pool, place: &str, batch: &[Append]) -> Vec<Answer> {
    let mut answers = Answers { place, batch, given: batch.iter().map(|_| None).collect() };
    for round in chains::rounds(batch) {
        answer_chains(pool, round, &mut answers).await;
    }
    let never = || {
        Err(StoreError::new(
            StoreErrorKind::Io,
            format!("cannot append to {place}: the database gave no answer for a commit"),
        )
        .into())
    };
    answers.given.into_iter().map(|answer| answer.unwrap_or_else(never)).collect()
}

/// Answers all commits of these chains.
async fn answer_chains(pool: &Pool, mut chains: Vec<Chain<'_>>, answers: &mut Answers<'_>) {
    for _ in 0..TRIES_MAX {
        match judge(pool, answers.batch, &chains).await {
            Ok(verdicts) => {
                let mut raced = Vec::new();
                for (chain, verdict) in chains.into_iter().zip(verdicts) {
                    if verdict.raced {
                        raced.push(chain);
                    } else {
                        let there = find_existing(pool, answers.batch, &chain, &verdict).await;
                        answers.judged(&chain, &verdict, &there);
                    }
                }
                if raced.is_empty() {
                    return;
                }
                chains = raced;
            }
            Err(error) if error.is_transient() => {}
            // Nothing was written. One chain contains what the database rejects; it must not fail the others.
            Err(DatabaseError::Refused { .. }) if chains.len() > 1 => {
                for chain in chains {
                    Box::pin(answer_chains(pool, vec![chain], answers)).await;
                }
                return;
            }
            Err(error) => {
                for chain in &chains {
                    answers.failed(chain, &error);
                }
                return;
            }
        }
    }
    let error = DatabaseError::NotSent(format!("{TRIES_MAX} tries failed because of other sessions"));
    for chain in &chains {
        answers.failed(chain, &error);
    }
}

/// The database's answer for a chain.
#[derive(Debug)]
struct Verdict {
    /// The end of the journal before.
    head: Seq,
    /// The epoch of the newest claim.
    fence: Epoch,
    /// Whether the commits after `head` were written.
    taken: bool,
    /// Whether another worker started the run at the same time.
    raced: bool,
    /// The first positions of commits that existed already.
    there: HashSet<i64>,
}

impl Verdict {
    /// The whole chain was written.
    fn written(base: Seq) -> Self {
        Self { head: base, fence: Epoch(0), taken: true, raced: false, there: HashSet::new() }
    }

    fn of(row: &PgRow) -> Result<Self, DatabaseError> {
        Ok(Self {
            head: Seq(unsigned(column(row, 0)?)?),
            fence: Epoch(unsigned(column(row, 1)?)?),
            taken: column(row, 2)?,
            raced: column(row, 3)?,
            there: column::<Vec<i64>>(row, 4)?.into_iter().collect(),
        })
    }
}

/// Writes the only commit of a single chain with a cheaper statement, if it is an ordinary one. `false` means only that
/// nothing was written.
async fn write_alone(pool: &Pool, batch: &[Append], chains: &[Chain<'_>]) -> Result<bool, DatabaseError> {
    let [chain] = chains else { return Ok(false) };
    let [at] = chain.commits[..] else { return Ok(false) };
    let Append { commit, record, taken } = &batch[at];
    if chain.base == Seq::ZERO || chain.refused.is_some() || record.is_some() || !taken.is_empty() {
        return Ok(false);
    }
    let statement = sqlx::query(LONE).bind(chain.run.as_str()).bind(signed(chain.base.0)).bind(signed(chain.last.0));
    let rows = pool.write(statement.bind(signed(chain.epoch.0)).bind(&*commit.body)).await?;
    Ok(!rows.is_empty())
}

async fn judge(pool: &Pool, batch: &[Append], chains: &[Chain<'_>]) -> Result<Vec<Verdict>, DatabaseError> {
    if write_alone(pool, batch, chains).await? {
        return Ok(vec![Verdict::written(chains[0].base)]);
    }
    let rows = pool.write(statement(batch, chains)?).await?;
    // The commit is durable by now: if the answer cannot be read, its outcome is unknown.
    let verdicts: Vec<_> = rows.iter().map(Verdict::of).collect::<Result<_, _>>()?;
    if verdicts.len() == chains.len() {
        return Ok(verdicts);
    }
    Err(DatabaseError::Damaged(format!("the database gave {} answers for {} chains", verdicts.len(), chains.len())))
}

/// Which commits before the journal's end exist, if the statement did not see all of them: its snapshot may be older
/// than another session's commit, and its lock newer.
async fn find_existing(
    pool: &Pool,
    batch: &[Append],
    chain: &Chain<'_>,
    verdict: &Verdict,
) -> Result<HashSet<i64>, DatabaseError> {
    let before = |at: &&usize| batch[**at].commit.first <= verdict.head;
    let missing = |at: &usize| !verdict.there.contains(&signed(batch[*at].commit.first.0));
    let missing: Vec<_> = chain.commits.iter().take_while(before).copied().filter(missing).collect();
    let mut there = verdict.there.clone();
    if !missing.is_empty() {
        let firsts: Vec<_> = missing.iter().map(|at| signed(batch[*at].commit.first.0)).collect();
        let bodies: Vec<_> = missing.iter().map(|at| &*batch[*at].commit.body).collect();
        let sql = "SELECT c.first FROM unnest($2::int8[], $3::bytea[]) AS c (first, body)
            JOIN journal o ON o.run = $1 AND o.first = c.first AND o.body = c.body";
        let rows = pool.read(|| sqlx::query(sql).bind(chain.run.as_str()).bind(&firsts).bind(&bodies)).await?;
        for row in &rows {
            there.insert(column(row, 0)?);
        }
    }
    Ok(there)
}

/// Answers being collected.
struct Answers<'a> {
    place: &'a str,
    batch: &'a [Append],
    given: Vec<Option<Answer>>,
}

impl Answers<'_> {
    fn judged(&mut self, chain: &Chain<'_>, verdict: &Verdict, there: &Result<HashSet<i64>, DatabaseError>) {
        let Verdict { head, fence, taken, .. } = *verdict;
        for at in &chain.commits {
            let commit = &self.batch[*at].commit;
            let answer = if commit.first > head && taken {
                Ok(())
            } else if commit.first > head && commit.first == head.plus(1) && fence > commit.epoch {
                Err(AppendError::Fenced { held: fence })
            } else if commit.first == head.plus(1)
                && let Some(error) = &chain.refused
            {
                Err(error.clone().into())
            } else {
                match there {
                    Ok(there) if there.contains(&signed(commit.first.0)) => Ok(()),
                    Err(_) if commit.first <= head => Err(AppendError::Unknown(format!(
                        "{}: cannot read whether a repeated commit exists",
                        self.place
                    ))),
                    _ => Err(AppendError::Conflict { last: head }),
                }
            };
            self.given[*at] = Some(answer);
        }
    }

    fn failed(&mut self, chain: &Chain<'_>, error: &DatabaseError) {
        for at in &chain.commits {
            self.given[*at] = Some(Err(error.clone().of_commit(self.place)));
        }
    }
}

/// The statement for a round.
fn statement<'q>(batch: &[Append], chains: &[Chain<'_>]) -> Result<Statement<'q>, DatabaseError> {
    let commits = || {
        let numbered = (1_i64..).zip(chains);
        numbered.flat_map(|(number, chain)| chain.commits.iter().map(move |at| (number, &batch[*at])))
    };
    let bare = commits().all(|(_, append)| append.record.is_none() && append.taken.is_empty());
    let each = |of: fn(&Chain<'_>) -> i64| chains.iter().map(of).collect::<Vec<_>>();
    let statement = sqlx::query(if bare { BARE } else { FULL })
        .bind(chains.iter().map(|chain| chain.run.as_str()).collect::<Vec<_>>())
        .bind(each(|chain| signed(chain.base.0)))
        .bind(each(|chain| signed(chain.last.0)))
        .bind(each(|chain| signed(chain.epoch.0)))
        .bind(chains.iter().map(|chain| chain.refused.is_some()).collect::<Vec<_>>())
        .bind(commits().map(|(number, _)| number).collect::<Vec<_>>())
        .bind(commits().map(|(_, append)| signed(append.commit.first.0)).collect::<Vec<_>>())
        .bind(commits().map(|(_, append)| signed(append.commit.last.0)).collect::<Vec<_>>())
        .bind(commits().map(|(_, append)| &*append.commit.body).collect::<Vec<_>>());
    if bare {
        return Ok(statement);
    }
    let records = Records::of(batch, chains)?;
    let taken = || commits().flat_map(|(number, append)| append.taken.iter().map(move |id| (number, append, id)));
    let statement = records.bind(statement);
    Ok(statement
        .bind(taken().map(|(number, _, _)| number).collect::<Vec<_>>())
        .bind(taken().map(|(_, append, _)| signed(append.commit.first.0)).collect::<Vec<_>>())
        .bind(taken().map(|(_, _, id)| signed(id.0)).collect::<Vec<_>>()))
}

/// The last record of each chain, if it has one. Earlier records leave no trace.
struct Records<'a> {
    records: Vec<Option<(Seq, &'a RunRecord)>>,
    texts: Vec<Option<String>>,
    digests: Vec<Option<Vec<u8>>>,
    labels: Vec<(i64, Vec<u8>)>,
}

impl<'a> Records<'a> {
    fn of(batch: &'a [Append], chains: &[Chain<'_>]) -> Result<Self, DatabaseError> {
        let brings = |at: &usize| Some((batch[*at].commit.first, batch[*at].record.as_ref()?));
        // NOTE: the record of a rejected commit may belong to another run.
        let last = |chain: &Chain<'_>| chain.commits.iter().rev().find_map(brings).filter(|_| chain.refused.is_none());
        let records: Vec<_> = chains.iter().map(last).collect();
        let (mut texts, mut digests, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        for (number, record) in (1_i64..).zip(&records) {
            let of_record = record.map(|(_, record)| labels::digests(record));
            texts.push(record.map(|(_, record)| record_text(record)).transpose()?);
            digests.push(of_record.as_ref().map(|digests| digests.concat()));
            labels.extend(of_record.into_iter().flatten().map(|label| (number, label)));
        }
        Ok(Self { records, texts, digests, labels })
    }

    fn bind<'q>(&self, statement: Statement<'q>) -> Statement<'q> {
        let all = || self.records.iter().map(|record| record.map(|(_, record)| record));
        let parent = |record: &'a RunRecord| record.parent.as_ref().map(RunId::as_str);
        let wake_at = |record: &RunRecord| record.wake_at.map(|at| signed(at.as_millis()));
        statement
            .bind(self.records.iter().map(|record| record.map(|(first, _)| signed(first.0))).collect::<Vec<_>>())
            .bind(all().map(|record| record.map(|record| record.workflow.as_str())).collect::<Vec<_>>())
            .bind(all().map(|record| record.map(|record| record.status.name())).collect::<Vec<_>>())
            .bind(all().map(|record| record.and_then(parent)).collect::<Vec<_>>())
            .bind(all().map(|record| record.map(|record| signed(record.created_at.as_millis()))).collect::<Vec<_>>())
            .bind(all().map(|record| record.and_then(wake_at)).collect::<Vec<_>>())
            .bind(&self.texts)
            .bind(&self.digests)
            .bind(self.labels.iter().map(|(number, _)| *number).collect::<Vec<_>>())
            .bind(self.labels.iter().map(|(_, label)| &**label).collect::<Vec<_>>())
    }
}
