//! Layers, messages, and that the documented defaults are the real ones.

use std::io::Write as _;

use super::*;

fn load_text(text: &str) -> Result<Loaded, Problems> {
    load_with(text, &[], &[])
}

type Flag = (&'static str, &'static str, &'static str, &'static str);

fn load_with(text: &str, environment: &[(&str, &str)], flags: &[Flag]) -> Result<Loaded, Problems> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("acceptd.toml");
    std::fs::create_dir(folder.path().join("schemas")).unwrap();
    for (file, text) in SCHEMAS {
        std::fs::write(folder.path().join("schemas").join(file), text).unwrap();
    }
    std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    let loaded = load(&Sources {
        file: FileSource::Named(path.clone()),
        environment: environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        flags: flags.iter().map(|(section, key, flag, text)| (*section, *key, *flag, (*text).to_owned())).collect(),
    });
    loaded.map_err(|problems| {
        let short = |origin| match origin {
            Origin::File(_, line) => Origin::File("acceptd.toml".into(), line),
            other => other,
        };
        Problems(problems.0.into_iter().map(|p| Problem { origin: p.origin.map(short), ..p }).collect())
    })
}

/// Files in the folder `schemas` beside the configuration.
const SCHEMAS: [(&str, &str); 5] = [
    ("ec2.start.json", r#"{"type":"object"}"#),
    ("ec2.start.v1.json", "true"),
    ("broken.json", "{"),
    ("wrong.json", r#"{"properties":{"a":{"type":"text"}}}"#),
    ("far.json", r#"{"$ref":"https://example.com/a.json"}"#),
];

fn complaint(text: &str) -> String {
    load_text(text).unwrap_err().to_string()
}

const CONSUMER: &str = "[consumers.start-ec2]\non = \"ec2.start\"\nurl = \"http://127.0.0.1:9000/start\"\n";

#[test]
fn documented_defaults_are_the_defaults() {
    let documented = load_text(DEFAULTS).unwrap().config;
    let built_in = load(&Sources::default()).unwrap().config;
    assert_eq!(documented, built_in);
}

/// Options without a default, and the example sections, are lines that begin with `#` and no space.
fn uncommented() -> String {
    let lines = DEFAULTS.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => rest,
        _ => line,
    });
    lines.filter(|line| !line.starts_with("notify")).collect::<Vec<_>>().join("\n")
}

#[test]
fn documentation_lists_every_option() {
    let text = uncommented();
    let loaded = load_text(&text).unwrap();
    for Reading { section, key, value, origin } in &loaded.readings {
        let written = matches!(origin, Some(Origin::File(..)));
        assert!(written || *key == "notify", "{section:?} {key} is not in acceptd.default.toml: {value:?}");
    }
    assert!(DEFAULTS.contains("#notify = \"inbox\""));
    // The example's values are the defaults where there are any.
    let plain =
        "[events.\"ec2.start\"]\n[consumers.start-ec2]\non = \"ec2.start\"\nurl = \"http://127.0.0.1:9000/start-ec2\"";
    let plain = load_text(plain).unwrap().config;
    let documented = loaded.config;
    assert_eq!(documented.events["ec2.start"].owner_required, plain.events["ec2.start"].owner_required);
    let (documented, plain) = (&documented.consumers[0], &plain.consumers[0]);
    assert_eq!((&documented.retry, documented.timeout), (&plain.retry, plain.timeout));
    assert_eq!((documented.concurrency, documented.undeclared), (plain.concurrency, plain.undeclared));
    assert_eq!((&documented.on, &documented.emits), (&plain.on, &plain.emits));
}

#[test]
fn unknown_keys_name_the_place_and_the_nearest_key() {
    let text = format!("# one\n\n{CONSUMER}urll = \"http://127.0.0.1\"\n");
    assert_eq!(complaint(&text), "acceptd.toml:6: unknown key `urll` in consumers.start-ec2; did you mean `url`?");
    assert_eq!(complaint("[sever]\nlisten = 1"), "acceptd.toml:1: unknown key `sever`; did you mean `server`?");
    let retry = format!("{CONSUMER}retry = {{ max_attempt = 3 }}");
    assert_eq!(
        complaint(&retry),
        "acceptd.toml:4: unknown key `max_attempt` in consumers.start-ec2.retry; did you mean `max_attempts`?"
    );
    let odd = "[events.\"ec2.start\"]\nzzz = \"x.json\"";
    assert_eq!(complaint(odd), "acceptd.toml:2: unknown key `zzz` in events.ec2.start");
}

#[test]
fn wrong_values_say_what_was_expected() {
    for (text, said) in [
        ("[server]\nlease = 5", ":2: server.lease: this must be a duration such as \"250ms\", \"30s\" or \"1h30m\""),
        ("[server]\nlease = \"5\"", ":2: server.lease: \"5\" is not a duration such as 250ms, 30s, 5m, 1h30m or 7d"),
        ("[server]\nlease = \"10ms\"", ":2: server.lease: it must be from 1s to 1d"),
        ("[server]\nlisten = \"8202\"", ":2: server.listen: \"8202\" is not an address such as 127.0.0.1:8202"),
        (
            "[server]\nbody_max = \"1MB\"",
            ":2: server.body_max: \"1MB\" is not a size above 0 such as 1MiB, 512KiB or 4096",
        ),
        ("[server]\ndepth_max = 0", ":2: server.depth_max: this must be a whole number from 1 to 4294967295"),
        ("[server]\ninsecure = \"true\"", ":2: server.insecure: this must be true or false"),
        (
            "[store]\nurl = \"mysql://u:secret@h/d\"",
            ":2: store.url: \"mysql://u:***@h/d\" names no store; write sqlite:FILE or postgres://…",
        ),
        ("[log]\nformat = \"xml\"", ":2: log.format: \"xml\" must be \"text\" or \"json\""),
        (
            "[telemetry]\notlp_endpoint = \"collector:4318\"",
            ":2: telemetry.otlp_endpoint: \"collector:4318\" is not an http or https URL",
        ),
        (
            "[telemetry]\notlp_endpoint = \"http://c:4318/?a\"",
            ":2: telemetry.otlp_endpoint: it must end with a path, without `?` and `#`",
        ),
        ("[telemetry]\nservice_name = \"\"", ":2: telemetry.service_name: it must not be empty"),
        ("server = 5", ":1: server: this is a section, not a value"),
        ("[server\n", ":1: "),
        ("[server]\nlease = \"1s\"\nlease = \"2s\"", ":3: duplicate key"),
    ] {
        let complaint = complaint(text);
        assert!(complaint.starts_with(&format!("acceptd.toml{said}")), "{text}\n{complaint}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
    }
}

#[test]
fn consumers_have_one_place_to_go() {
    let with = |more: &str| complaint(&format!("{CONSUMER}{more}"));
    assert_eq!(
        with("notify = \"inbox\""),
        "acceptd.toml:4: consumers.start-ec2.notify: a consumer has either `url` or `notify`, not both"
    );
    assert_eq!(
        complaint("[consumers.a]\non = \"b\""),
        "acceptd.toml:1: consumers.a: it needs `url`, or `notify = \"inbox\"`"
    );
    assert_eq!(
        complaint("[consumers.a]\nnotify = \"inbox\""),
        "acceptd.toml:1: consumers.a: it needs `on`: the event types that it takes"
    );
    let inbox = "[consumers.a]\non = \"b\"\nnotify = \"inbox\"\nsecret_file = \"x\"";
    assert!(complaint(inbox).contains("acceptd.toml:4: consumers.a.secret_file: the inbox has no use for it"));
    assert!(with("emits = [\"a.*\"]").contains("`*` is not allowed here"));
    assert!(with("emits = [\"a b\"]").contains("is not an event type"));
    assert!(with("retry = { base = \"1h\" }").contains("`base` is longer than `max`"));
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text = "[store]\nulr = 1\n[server]\nlease = 1\n[log]\nformat = \"x\"";
    let lines: Vec<_> = complaint(text).lines().map(|line| line[..15].to_owned()).collect();
    assert_eq!(lines, ["acceptd.toml:2:", "acceptd.toml:4:", "acceptd.toml:6:"]);
}

#[test]
fn environment_overrides_the_file_and_flags_override_both() {
    let file = format!("[server]\nlisten = \"127.0.0.1:1\"\nlease = \"7s\"\n{CONSUMER}");
    let environment = [
        ("ACCEPTD_SERVER__LISTEN", "127.0.0.1:2"),
        ("ACCEPTD_SERVER__BACKLOG_MAX", "1_000"),
        ("ACCEPTD_SERVER__RETENTION", ""),
        ("ACCEPTD_CONSUMERS__START_EC2__EMITS", "ec2.started, alarm.create"),
        ("ACCEPTD_CONSUMERS__START_EC2__RETRY__MAX_ATTEMPTS", "3"),
        ("ACCEPTD_CONSUMERS__SEND_MAIL__ON", "mail.send"),
        ("ACCEPTD_CONSUMERS__SEND_MAIL__NOTIFY", "inbox"),
        ("ACCEPTD_EVENTS__EC2_START__OWNER_REQUIRED", "true"),
        ("ACCEPTD_URL", "http://elsewhere"),
        ("HOME", "/root"),
    ];
    let loaded = load_with(&file, &environment, &[("server", "listen", "--listen", "127.0.0.1:3")]).unwrap();
    let config = loaded.config;
    assert_eq!(config.server.listen.port(), 3);
    assert_eq!(config.server.lease, Duration::from_secs(7));
    assert_eq!(config.server.backlog_max.get(), 1_000);
    let names: Vec<_> = config.consumers.iter().map(|consumer| consumer.name.as_str()).collect();
    assert_eq!(names, ["send-mail", "start-ec2"]);
    assert_eq!(config.consumers[1].emits, ["ec2.started", "alarm.create"]);
    assert_eq!(config.consumers[1].retry.max_attempts, 3);
    assert!(config.events["ec2.start"].owner_required);
}

#[test]
fn mistakes_in_the_environment_name_the_variable() {
    let complain = |name: &str, value: &str| load_with(CONSUMER, &[(name, value)], &[]).unwrap_err().to_string();
    assert_eq!(
        complain("ACCEPTD_SERVER__LISTN", "x"),
        "ACCEPTD_SERVER__LISTN: unknown key `listn` in server; did you mean `listen`?"
    );
    assert!(
        complain("ACCEPTD_SERVER__INSECURE", "maybe").starts_with("ACCEPTD_SERVER__INSECURE: server.insecure: this")
    );
    assert!(complain("ACCEPTD_CONSUMERS__START_EC2__ON__X", "y").contains("`on` is no table"));
    let flag = load_with("", &[], &[("server", "listen", "--listen", "nowhere")]).unwrap_err().to_string();
    assert_eq!(flag, "--listen: server.listen: \"nowhere\" is not an address such as 127.0.0.1:8202");
}

#[test]
fn other_addresses_than_loopback_need_insecure() {
    let open = "[server]\nlisten = \"0.0.0.0:8202\"\n";
    assert!(
        complaint(open).starts_with("acceptd.toml:2: server.listen: 0.0.0.0:8202 can be reached from other machines")
    );
    load_with(open, &[], &[("server", "insecure", "--insecure", "true")]).unwrap();
    for loopback in ["localhost:1", "[::1]:1", "127.1.2.3:1"] {
        load_text(&format!("[server]\nlisten = \"{loopback}\"")).unwrap();
    }
}

#[test]
fn what_is_printed_is_a_configuration_without_secrets() {
    let url = "[consumers.a]\non = \"b\"\nurl = \"http://user:secret@127.0.0.1/x\"\n";
    let loaded =
        load_with(&format!("[server]\nlease = \"90s\"\n{url}"), &[("ACCEPTD_LOG__FORMAT", "json")], &[]).unwrap();
    let printed = print(&loaded.readings);
    for line in
        ["listen = \"127.0.0.1:8202\"\n", "lease = \"1m30s\"  # ", "format = \"json\"  # from ACCEPTD_LOG__FORMAT"]
    {
        assert!(printed.contains(line), "{line}\n{printed}");
    }
    assert!(printed.contains("# public_url is not set") && !printed.contains("secret@"), "{printed}");
    let again = load_text(&printed).unwrap().config;
    assert_eq!(again.server, loaded.config.server);
    assert_eq!(again.consumers[0].retry, loaded.config.consumers[0].retry);
}

#[test]
fn values_show_as_they_are_read() {
    assert_eq!(shown(&Bytes(1 << 20)), "\"1MiB\"");
    assert_eq!(shown(&Bytes(1_500)), "\"1500B\"");
    assert_eq!(shown(&Duration::from_millis(3_661_001)), "\"3661001ms\"");
}

#[test]
fn mistakes_about_limits_are_named() {
    let limited = |limit: &str, consumer: &str| format!("[limits.cloud-api]\n{limit}\n{CONSUMER}{consumer}");
    for (limit, consumer, said) in [
        ("", "limits = [\"clod-api\"]", "no limit is named \"clod-api\"; did you mean \"cloud-api\"?"),
        ("rate = \"0/s\"", "", "a rate must be above 0"),
        ("rate = \"2000000/s\"", "", "a rate can be at most 1000000/s"),
        ("rate = \"1/99d\"", "", "a rate must be at least one in 31 days"),
        ("rate = 2", "", "rate"),
        ("concurrency = 0", "", "concurrency"),
        ("key = \"region\"", "", "write a JSON Pointer such as"),
        ("burst = 3", "", "unknown key `burst` in limits.cloud-api"),
        ("", "lock = \"account\"", "write a JSON Pointer such as"),
        ("", "fair_weights = { a = -1 }", "fair_weights"),
    ] {
        let text = limited(limit, consumer);
        let complaint = complaint(&text);
        assert!(complaint.contains(said), "{text}: {complaint}");
    }
    assert!(load_text(&limited("rate = \"100/m burst 20\"", "limits = [\"cloud-api\"]")).is_ok());
}

#[test]
fn schemas_are_read_beside_the_file_that_names_them() {
    let text = "[events.\"ec2.start\"]\nversion = 2\nschema = \"schemas/ec2.start.json\"\n\
                older_schemas = { 1 = \"schemas/ec2.start.v1.json\" }\nteam = \"compute\"";
    let event = load_text(text).unwrap().config.events["ec2.start"].clone();
    assert_eq!((event.version, event.team.as_deref()), (2, Some("compute")));
    assert_eq!(event.schema.unwrap()["type"], "object");
    assert_eq!(event.older[&1], serde_json::Value::Bool(true));
}

#[test]
fn bad_schemas_name_the_line_and_the_file() {
    let event = "[events.\"ec2.start\"]\n";
    let schema = |file: &str| format!("schema = \"schemas/{file}.json\"");
    let older = |version: &str| format!("version = 2\n{}\nolder_schemas = {version}", schema("ec2.start"));
    for (more, said) in [
        (schema("none"), ":2: events.ec2.start.schema: there is no file schemas/none.json"),
        (schema("broken"), ":2: events.ec2.start.schema: schemas/broken.json is not JSON: EOF while parsing"),
        (
            schema("wrong"),
            ":2: events.ec2.start.schema: schemas/wrong.json: this is no JSON Schema: at /properties/a/type",
        ),
        (schema("far"), ":2: events.ec2.start.schema: schemas/far.json: a $ref must stay in the document"),
        ("schema = \"schemas\"".to_owned(), ":2: events.ec2.start.schema: can't read schemas: "),
        (older("{ 2 = \"schemas/ec2.start.json\" }"), ":4: events.ec2.start.older_schemas: version 2 is not older"),
        (older("{ 1 = \"schemas/none.json\" }"), ":4: events.ec2.start.older_schemas: there is no file"),
        (older("{ one = \"schemas/none.json\" }"), ":4: events.ec2.start.older_schemas: this must be a table of files"),
        ("version = 0".to_owned(), ":2: events.ec2.start.version: this must be a whole number from 1"),
        (
            "version = 2\nolder_schemas = { 1 = \"schemas/ec2.start.json\" }".to_owned(),
            ":3: events.ec2.start.older_schemas: older versions need `schema`",
        ),
    ] {
        let complaint = complaint(&format!("{event}{more}"));
        assert!(complaint.starts_with(&format!("acceptd.toml{said}")), "{more}\n{complaint}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
    }
}
