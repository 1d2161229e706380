//! `acceptd dev`: a server to try things with.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use acceptd::Acceptd;
use clap::Args;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::cli::ServerFlags;
use crate::cli::client::Client;
use crate::cli::config::read;
use crate::cli::output::{Console, complain};
use crate::config::{Config, ConsumerConfig, Goes, StoreUrl};
use crate::demo::{self, UploadService};
use crate::exit::{Exit, Failure, Result};
use crate::server::{Server, bind};
use crate::{logging, wiring};

/// What to try.
#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// Bring a slow upload service along and show what happens to 30 uploads
    #[arg(long)]
    demo: bool,
    /// Keep everything in this file; without it the file is a temporary one
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,
    /// Stop after the demo; the exit code says whether everything was seen
    #[arg(long, requires = "demo")]
    exit: bool,
    /// The configuration; without it `acceptd.toml` is read if it is there. The demo brings its own
    #[arg(long, env = "ACCEPTD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen; 127.0.0.1:8202, or a free port when that is taken
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
}

impl Dev {
    pub(crate) async fn run(&self, console: &Console) -> Result {
        let (mut config, service) = self.configure().await?;
        // The folder goes when the server has ended.
        let (store, folder) = self.store()?;
        config.store = store;
        logging::start(&config.log);
        let builder = wiring::builder(&config)?;
        let builder = if service.is_some() { builder.consumer(demo::function()) } else { builder };
        let server = self.serve(&config, builder, console).await?;
        self.greet(&config, folder.is_some(), &server, console);
        let Some(service) = service else { return server.run().await };
        let tells = self.exit || (std::io::stderr().is_terminal() && !console.quiet);
        if !tells {
            return server.run().await;
        }
        let server_url = server.url();
        let client = Client::new(&server_url)?;
        let mut told = None;
        let story = async {
            told = Some(demo::tell(&client, &service, console).await);
            match &told {
                // The server stops then.
                _ if self.exit => return,
                Some(Ok(story)) => story.suggest(&server_url, self.db.as_deref(), console),
                Some(Err(Failure { message, .. })) => {
                    complain(message.as_deref().unwrap_or("the demo was interrupted"))
                }
                None => {}
            }
            std::future::pending().await
        };
        let ended = server.run_until(story).await?;
        match told {
            Some(told) if self.exit => told.map(|story| if story.is_complete() { Exit::Ok } else { Exit::Error }),
            _ => Ok(ended),
        }
    }

    async fn configure(&self) -> Result<(Config, Option<UploadService>)> {
        if self.demo {
            let service = UploadService::start().await?;
            let config = demo::config(self.listen.as_deref(), service.endpoint())?;
            return Ok((config, Some(service)));
        }
        let flags = ServerFlags { config: self.config.clone(), listen: self.listen.clone(), ..ServerFlags::default() };
        Ok((read(&flags)?.config, None))
    }

    fn store(&self) -> Result<(StoreUrl, Option<TempDir>)> {
        if let Some(file) = &self.db {
            return Ok((StoreUrl(format!("sqlite:{}", file.display())), None));
        }
        let folder = tempfile::Builder::new().prefix("acceptd-dev-").tempdir()?;
        let file = folder.path().join("acceptd.db");
        Ok((StoreUrl(format!("sqlite:{}", file.display())), Some(folder)))
    }

    async fn serve(&self, config: &Config, builder: Acceptd, console: &Console) -> Result<Server> {
        let listener = self.bind(config.server.listen, console).await?;
        Server::start(listener, builder, config).await
    }

    async fn bind(&self, address: SocketAddr, console: &Console) -> Result<TcpListener> {
        match TcpListener::bind(address).await {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && self.listen.is_none() => {
                console.say(format_args!("{address} is taken, so this server takes a free port"));
                bind(SocketAddr::new(address.ip(), 0)).await
            }
            Ok(listener) => Ok(listener),
            Err(_) => bind(address).await,
        }
    }

    fn greet(&self, config: &Config, is_temporary: bool, server: &Server, console: &Console) {
        let url = server.url();
        let file = config.store.0.trim_start_matches("sqlite:");
        let fate = if is_temporary { " (temporary; keep it with --db FILE)" } else { "" };
        console.say(format_args!("listening on {url}"));
        console.say(format_args!("store        {file}{fate}"));
        for line in self.introduce(config) {
            console.say(line);
        }
        let data = if self.demo { "{\"item\": 1}" } else { "{}" };
        let kind = config.consumers.first().and_then(|consumer| consumer.on.first());
        if let Some(kind) = kind.filter(|kind| !kind.ends_with('*')) {
            console.say(format_args!(
                "try          curl -i {url}/v1/events/{kind} -H 'Acceptd-Owner: you' \
                 -H 'Content-Type: application/json' -d '{data}'"
            ));
        }
    }

    fn introduce(&self, config: &Config) -> Vec<String> {
        if self.demo {
            return vec![
                format!(
                    "consumers    upload-item (HTTP, {} at once) -> summarize (Rust) -> alarm (inbox)",
                    demo::AT_ONCE
                ),
                format!(
                    "the service  takes 200 to 600 ms an item; item {} fails twice and recovers, item {} never works",
                    demo::RECOVERS,
                    demo::REFUSED
                ),
            ];
        }
        if config.consumers.is_empty() {
            return vec![
                "consumers    none yet: write acceptd.toml (`acceptd config defaults` shows every option), \
                 or try `acceptd dev --demo`"
                    .to_owned(),
            ];
        }
        let describe = |consumer: &ConsumerConfig| {
            let goes = match &consumer.goes {
                Goes::Url { url, .. } => url.0.host_str().unwrap_or("HTTP").to_owned(),
                Goes::Inbox => "inbox".to_owned(),
            };
            format!("{} ({goes})", consumer.name)
        };
        vec![format!("consumers    {}", config.consumers.iter().map(describe).collect::<Vec<_>>().join(", "))]
    }
}
