//! Bytes that no export has written cause an error, or are a valid export; never a panic.

use orkestra_core::store::MemoryStore;
use orkestra_store::transfer::survey;

use super::*;

/// Exports of all kinds of runs.
async fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for seed in 0..4 {
        let store = MemoryStore::new();
        for number in 0..3 {
            add_real_run(&store, seed * 10 + number).await;
        }
        seeds.push(lines_of(&store).await);
        seeds.push(lines_of(&random_calls(seed).await).await);
    }
    seeds
}

/// Replaces the totals by correct ones, so that changed lines get past the final check.
fn with_good_sums(lines: &[u8]) -> Vec<u8> {
    let end = lines.windows(7).rposition(|part| part == b"{\"end\":").unwrap_or(lines.len());
    let mut good = lines[..end].to_vec();
    let count = |kind: &str| {
        let begins = format!("{{\"{kind}\":");
        good.split(|byte| *byte == b'\n').filter(|line| line.starts_with(begins.as_bytes())).count()
    };
    let kinds = ["run", "commit", "letter", "blob", "value", "skipped"];
    let [runs, commits, letters, blobs, values, skipped] = kinds.map(count);
    let hash = sha256(&good);
    good.extend_from_slice(
        format!(
            "{{\"end\":{{\"runs\":{runs},\"commits\":{commits},\"letters\":{letters},\"blobs\":{blobs},\"values\":{values},\
             \"skipped\":{skipped},\"sha256\":\"{hash}\"}}}}\n"
        )
        .as_bytes(),
    );
    good
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn hostile_lines_never_panic() {
    let seeds = seeds().await;
    for seed in &seeds {
        assert!(with_good_sums(seed) == *seed, "the totals are computed as by an export");
    }
    let cases = if std::env::var_os("ORKESTRA_LONG").is_some() { 40_000 } else { 400 };
    let (mut taken, mut refused) = (0_u32, 0_u32);
    for number in 0..cases {
        let mut chance = Chance::new(number);
        let (mut bytes, other) = (chance.pick(&seeds).clone(), chance.pick(&seeds).clone());
        fuzz::mutate(&mut chance, &mut bytes, &other);
        if !chance.one_in(4) {
            bytes = with_good_sums(&bytes);
        }
        let store = MemoryStore::new();
        match imported(&store, &bytes).await {
            Ok(_) => {
                taken += 1;
                let found = survey(&store).await.expect("it reads");
                assert_eq!(found.damage, [], "case {number}: what was imported is intact");
                let again = lines_of(&store).await;
                imported(&MemoryStore::new(), &again).await.unwrap_or_else(|error| panic!("case {number}: {error}"));
            }
            Err(error) => {
                refused += 1;
                let known = matches!(error, TransferError::Line { .. } | TransferError::Newer { .. });
                // Some data is refused only by the store: a key that is too long, the same run twice.
                let asked =
                    matches!(error, TransferError::Store(_) | TransferError::Differs(_) | TransferError::Append { .. });
                assert!(known || asked, "case {number}: {error:?}");
            }
        }
    }
    println!("{cases} changed exports: {taken} imported, {refused} refused");
    assert!(taken > 0 && refused > 0, "{taken} imported, {refused} refused");
}
