//! Measures the time of a single append, and the commits per second of many writers.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use orkestra::store::Store;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::gather::{Gatherer, Into};
use crate::ratio::{Figure, median};
use crate::runs::Run;
use crate::{BenchResult, Scale, disk, milliseconds};

/// The figures of `store`: a single append, then the numbers of writers in `scale`.
pub(crate) fn measure(
    runtime: &Runtime,
    place: &Path,
    store: &Arc<dyn Store>,
    scale: Scale,
) -> BenchResult<Vec<Figure>> {
    let mut lone = Figure::times("a lone append", "syncs");
    let mut groups = scale.appends.map(|(writers, _)| Figure::rates(&format!("{writers} writers"), "of the file's"));
    for round in 0..scale.rounds {
        let (took, sync) = runtime.block_on(one_by_one(store, place, round, scale.syncs))?;
        lone.add(took, sync);
        for ((writers, each), figure) in scale.appends.into_iter().zip(&mut groups) {
            let file = Into::File(Arc::new(File::create(place.join("gathered"))?));
            let (raw, raw_shared) = runtime.block_on(together(file, writers, each, round))?;
            let store = Into::Store(Arc::clone(store));
            let (rate, shared) = runtime.block_on(together(store, writers, each, round))?;
            figure.add(rate, raw);
            figure.note(format!("; {shared:.0} commits a sync, {raw_shared:.0} of the file's"));
        }
    }
    Ok(std::iter::once(lone).chain(groups).collect())
}

/// The median times of a single append, and of a sync at the same time, in milliseconds.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
async fn one_by_one(store: &Arc<dyn Store>, place: &Path, round: u32, count: u32) -> BenchResult<(f64, f64)> {
    let (into, mut run) = (Into::Store(Arc::clone(store)), Run::new(&format!("lone-{round}"), 1)?);
    into.write(vec![run.commit()]).await?;
    let (mut times, mut syncs) = (Vec::new(), Vec::new());
    let mut file = File::create(place.join("one"))?;
    for _ in 0..count {
        // Alternate, because other load on the machine changes over time.
        syncs.push(milliseconds(disk::once(&mut file)?));
        let append = run.commit();
        let begun = Instant::now();
        into.write(vec![append]).await?;
        times.push(milliseconds(begun.elapsed()));
    }
    Ok((median(times.into_iter()), median(syncs.into_iter())))
}

/// The commits per second of `writers` writers that each append to their own run, one commit after the other, and the commits per
/// sync.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
async fn together(into: Into, writers: u32, each: u32, round: u32) -> BenchResult<(f64, f64)> {
    let named = |writer| Run::new(&format!("w{writers}-{round}-{writer}"), u64::from(writer));
    let mut runs = (0..writers).map(named).collect::<BenchResult<Vec<_>>>()?;
    into.write(runs.iter_mut().map(Run::commit).collect()).await?;
    let (gatherer, gathered) = Gatherer::start(into);
    let mut under_way: JoinSet<BenchResult> = JoinSet::new();
    let begun = Instant::now();
    for mut run in runs {
        let gatherer = gatherer.clone();
        under_way.spawn(async move {
            for _ in 0..each {
                gatherer.write(run.commit()).await?;
            }
            Ok(())
        });
    }
    while let Some(ended) = under_way.join_next().await {
        ended??;
    }
    let took = begun.elapsed();
    drop(gatherer);
    let (commits, batches) = (f64::from(writers * each), gathered.await??);
    Ok((commits / took.as_secs_f64(), commits / f64::from(batches)))
}
