//! `aios benchmark check`: proves the judge of tasks.

use orkestra_bench::proof::{Depth, Proof, prove};

use super::{place, suite};
use crate::args::CheckTasksArguments;
use crate::exit::{Exit, Failure};

pub(super) async fn perform(arguments: &CheckTasksArguments) -> Result<Exit, Failure> {
    let suite = suite(arguments.directory.as_deref(), &arguments.names)?;
    let place = place(arguments.grading).await?;
    let scratch = tempfile::tempdir()
        .map_err(|error| Failure::failed(format!("cannot create a directory for grading: {error}")))?;
    let (mut count, mut faults) = (0, 0);
    for task in suite.tasks() {
        println!("{}", task.name);
        let proofs = prove(task, &place, scratch.path(), Depth::Whole, show).await;
        let proofs = proofs.map_err(|error| Failure::failed(format!("{}: {error}", task.name)))?;
        count += proofs.len();
        faults += proofs.iter().filter(|proof| proof.fault.is_some()).count();
    }
    if faults > 0 {
        return Err(Failure::failed(format!("{faults} of {count} solutions are not judged as they should be")));
    }
    println!("{count} solutions of {} tasks are judged as they should be", suite.tasks().len());
    Ok(Exit::Done)
}

fn show(proof: &Proof) {
    let passed = proof.strict.tests.iter().filter(|test| test.passed).count();
    let mark = if proof.fault.is_some() { "FAULT" } else { "ok" };
    println!(
        "  {mark:5} {:24} text checks {:4.1}, hidden tests {passed} of {}",
        proof.solution,
        proof.documented,
        proof.strict.tests.len()
    );
    if let Some(fault) = &proof.fault {
        println!("        {fault}");
    }
}
