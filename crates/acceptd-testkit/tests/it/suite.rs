//! What the suites of all stores share, and the check that no case is forgotten.

/// Runs a case on this thread.
pub(crate) fn block_on<F: Future>(case: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(case)
}

#[test]
fn every_case_is_in_a_list() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store");
    let lists = std::fs::read_to_string(format!("{folder}/mod.rs")).unwrap();
    let mut cases = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let area = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let Some(list) = lists.split("$run ").find(|list| list.split_whitespace().next() == Some(&area)) else {
            assert_eq!(area, "mod", "{area} has no list of cases");
            continue;
        };
        let listed: Vec<_> = list.split('}').next().unwrap().split_whitespace().skip(1).collect();
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let Some(name) = line.strip_prefix("pub async fn ").and_then(|rest| rest.split('(').next()) else {
                continue;
            };
            assert!(listed.contains(&name), "{area}::{name} is in no list");
            cases += 1;
        }
    }
    assert!(cases > 60, "only {cases} cases were found");
}
