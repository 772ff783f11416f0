//! Baselines in a real lakeFS: a branch is the commit that it stands at.

use crate::baseline_stores::{body, read};
use crate::servers::Lakefs;

const BRANCH: &str = "lakefs://features/main/train/reference.parquet";

/// The digest in what `read` says of a baseline.
fn digest(said: &str) -> &str {
    said.split_once("sha256 ").unwrap_or_else(|| panic!("{said}")).1
}

#[test]
fn a_branch_of_lakefs_is_the_commit_that_it_stands_at() {
    let Some(lakefs) = Lakefs::start() else { return };
    let settings =
        format!(r#"{{"lakefs": {{"endpoint": "{}", "allow_http": true}}}}"#, lakefs.url());
    let env = [
        ("LAKECTL_CREDENTIALS_ACCESS_KEY_ID", Lakefs::KEY),
        ("LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY", Lakefs::SECRET),
    ];
    let at = |place: &str| read(&env, &format!("lakefs://features/{place}"), &settings);
    let of_branch = || read(&env, BRANCH, &settings);

    lakefs.put("main", "train/reference.parquet", &body("pandas_zstd.parquet"));
    let said = of_branch();
    assert!(said.contains(BRANCH) && said.contains("is not there"), "not committed yet: {said}");

    let first = lakefs.commit("main");
    lakefs.tag("v1", "main");
    let before = of_branch();
    assert!(
        before.starts_with(&format!("baseline {BRANCH} (commit {first}): 1200 rows")),
        "{before}"
    );
    let at_commit = at(&format!("{first}/train/reference.parquet"));
    assert_eq!(digest(&at_commit), digest(&before));
    assert!(!at_commit.contains("(commit"), "its location says so: {at_commit}");

    // Written, and not committed.
    lakefs.put("main", "train/reference.parquet", &body("parts/part-00000.parquet"));
    assert_eq!(of_branch(), before);
    assert!(at("main$/train/reference.parquet").contains("700 rows"));

    let second = lakefs.commit("main");
    let moved = of_branch();
    assert!(moved.contains(&format!("(commit {second}): 700 rows")), "{moved}");
    assert_ne!(digest(&moved), digest(&before));
    for older in ["v1", "main~1"] {
        let older = at(&format!("{older}/train/reference.parquet"));
        assert!(older.contains(&format!("(commit {first})")), "{older}");
        assert_eq!(digest(&older), digest(&before));
    }

    // A commit that leaves the data alone is the same baseline.
    let folder = at("main/train/");
    lakefs.put("main", "notes/readme.txt", b"nothing of the data");
    let third = lakefs.commit("main");
    for (said, earlier) in [(of_branch(), &moved), (at("main/train/"), &folder)] {
        assert!(said.contains(&format!("(commit {third}): 700 rows")), "{said}");
        assert_eq!(digest(&said), digest(earlier));
    }

    let nobody = at("nobody/train/reference.parquet");
    assert!(nobody.contains("lakefs://features/nobody/train/reference.parquet"), "{nobody}");
    let wrong = [env[0], ("LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY", "wrong")];
    let denied = read(&wrong, BRANCH, &settings);
    assert!(denied.contains("access denied"), "{denied}");
}
