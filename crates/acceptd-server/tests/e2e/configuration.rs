//! Mistakes in the configuration, as an operator meets them.

use std::path::Path;

use crate::process::{acceptd, end, run};

fn check(folder: &Path, text: &str) -> crate::process::Ended {
    std::fs::write(folder.join("acceptd.toml"), text).unwrap();
    run(folder, &["config", "check"])
}

#[test]
fn every_mistake_has_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let consumer = "[consumers.start-ec2]\non = \"ec2.start\"\n";
    for (text, said) in [
        ("[sever]", "acceptd: acceptd.toml:1: unknown key `sever`; did you mean `server`?\n"),
        (
            &format!("{consumer}urll = \"http://127.0.0.1\"\n"),
            "acceptd: acceptd.toml:3: unknown key `urll` in consumers.start-ec2; did you mean `url`?\n",
        ),
        (consumer, "acceptd: acceptd.toml:1: consumers.start-ec2: it needs `url`, or `notify = \"inbox\"`\n"),
        ("[server]\nlease = 5", "acceptd: acceptd.toml:2: server.lease: this must be a duration such as"),
        ("[server]\nlisten = \"0.0.0.0:1\"", "acceptd: acceptd.toml:2: server.listen: 0.0.0.0:1 can be reached"),
        ("[log]\nlevel = \"loud\"", "acceptd: acceptd.toml:2: log.level: \"loud\" is not a level"),
        ("listen = = 5", "acceptd: acceptd.toml:1: "),
    ] {
        let ended = check(folder.path(), text).exits(2).says(said);
        assert_eq!(ended.stdout, "");
        // The server refuses the same, before it touches anything.
        run(folder.path(), &["serve"]).exits(2).says(said);
        assert!(!folder.path().join("acceptd.db").exists());
    }
    check(folder.path(), "[server]\nlease = \"5s\"").exits(0).says("the configuration is fine (acceptd.toml)");
}

#[test]
fn a_named_file_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let said = "acceptd: can't read the configuration other.toml: there is no such file\n";
    run(folder.path(), &["serve", "--config", "other.toml"]).exits(2).says(said);
    run(folder.path(), &["config", "check"]).exits(0).says("no file, only defaults");
}

#[test]
fn a_secret_must_be_readable_and_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[consumers.a]\non = \"b\"\nurl = \"http://127.0.0.1/\"\nsecret_file = \"a.secret\"\n";
    check(folder.path(), text).exits(2).says("consumers.a: can't read a.secret");
    std::fs::write(folder.path().join("a.secret"), "whsec_verysecret").unwrap();
    let ended = check(folder.path(), text).exits(2).says("consumers.a: a.secret: ");
    assert!(!ended.stderr.contains("verysecret"), "{ended:?}");
    std::fs::write(folder.path().join("a.secret"), "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n").unwrap();
    check(folder.path(), text).exits(0);
}

#[test]
fn printing_says_where_each_value_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("acceptd.toml"), "[server]\nlease = \"7s\"\n").unwrap();
    let mut command = acceptd(folder.path());
    command.env("ACCEPTD_SERVER__RETENTION", "1d").args(["config", "print", "--store", "sqlite:x.db"]);
    let printed = end(&mut command).exits(0).stdout;
    for line in [
        "listen = \"127.0.0.1:8202\"\n",
        "lease = \"7s\"  # acceptd.toml:2\n",
        "retention = \"1d\"  # from ACCEPTD_SERVER__RETENTION\n",
        "url = \"sqlite:x.db\"  # from --store\n",
        "# public_url is not set\n",
    ] {
        assert!(printed.contains(line), "{line} is not in\n{printed}");
    }
    let options = run(folder.path(), &["config", "print", "-o", "json"]).exits(0).json();
    assert!(
        options
            .as_array()
            .unwrap()
            .iter()
            .any(|option| option["key"] == "lease" && option["origin"] == "acceptd.toml:2")
    );
    let defaults = run(folder.path(), &["config", "defaults"]).exits(0).stdout;
    assert_eq!(check(folder.path(), &defaults).exits(0).stdout, "");
}

#[test]
fn limits_and_consumers_must_go_together() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[limits.a]\nkey = \"/a\"\n[limits.b]\nkey = \"/b\"\n\
                [consumers.c]\non = \"x\"\nurl = \"http://127.0.0.1:9/\"\n";
    let ordered = format!("{text}limits = [\"a\", \"b\"]\nordered = true");
    check(folder.path(), &ordered).exits(2).says("consumer c: ordered needs one key, and its limits have /a and /b");
    let lock = format!("[limits.\"c.lock\"]\nrate = \"1/s\"\n{text}lock = \"/a\"");
    check(folder.path(), &lock).exits(2).says("two limits are named c.lock");
    check(folder.path(), &format!("{text}limits = [\"a\", \"b\"]")).exits(0);
    assert!(!folder.path().join("acceptd.db").exists(), "nothing is opened");
}

#[test]
fn a_schema_that_can_not_be_used_stops_everything_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[events.\"ec2.start\"]\nversion = 2\nschema = \"start.json\"\nolder_schemas = { 1 = \"old.json\" }\n";
    std::fs::write(folder.path().join("start.json"), r#"{"type":"text"}"#).unwrap();
    let said = "acceptd: acceptd.toml:3: events.ec2.start.schema: start.json: this is no JSON Schema: at /type: ";
    let ended = check(folder.path(), text).exits(2).says(said);
    assert!(
        ended.stderr.contains("acceptd.toml:4: events.ec2.start.older_schemas: there is no file old.json"),
        "{ended:?}"
    );
    run(folder.path(), &["serve"]).exits(2).says(said);
    assert!(!folder.path().join("acceptd.db").exists());
    for file in ["start.json", "old.json"] {
        std::fs::write(folder.path().join(file), r#"{"type":"object"}"#).unwrap();
    }
    check(folder.path(), text).exits(0);
    // The files are found from another folder, too.
    let file = folder.path().join("acceptd.toml");
    let other = tempfile::tempdir().unwrap();
    run(other.path(), &["config", "check", "--config", file.to_str().unwrap()]).exits(0);
}
