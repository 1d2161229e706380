//! PgBouncer in transaction mode before a PostgreSQL: two transactions of a connection may run in two sessions.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use super::home::Home;
use super::postgres::{Postgres, USER};
use super::programs;
use crate::harness::server::free_port;

/// A running pooler. Its own state is nothing: killed and started again, it is a new one at the same port.
#[derive(Debug)]
pub struct Pgbouncer {
    home: Home,
    port: u16,
    settings: String,
}

impl Pgbouncer {
    /// Starts one before a server that trusts everyone, with at most `sessions` of its connections.
    pub fn before(postgres: &Postgres, sessions: u32) -> Self {
        // It refuses to run as root too, and Debian runs it as the same user.
        let (home, port) = (Home::new("pgbouncer", None, Some(USER), "KILL"), free_port());
        let (server, listen) = (postgres.address(), Ipv4Addr::LOCALHOST);
        let settings = format!(
            "[databases]\n\
             * = host={} port={} user={USER}\n\
             [pgbouncer]\n\
             listen_addr = {listen}\n\
             listen_port = {port}\n\
             unix_socket_dir =\n\
             auth_type = any\n\
             pool_mode = transaction\n\
             default_pool_size = {sessions}\n\
             max_client_conn = 1000\n",
            server.ip(),
            server.port(),
        );
        let mut pooler = Self { home, port, settings };
        pooler.start_again();
        pooler
    }

    /// Where it listens: [`Postgres::url_at`] makes URLs with it.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Kills it: the connections of its clients break.
    pub fn kill(&mut self) {
        self.home.kill();
    }

    /// Starts it after it was killed.
    pub fn start_again(&mut self) {
        let programs = programs::folder_with(&["pgbouncer"]);
        let program = programs.expect("PgBouncer is on this machine; ask `servers::available` first").join("pgbouncer");
        let file = self.home.write("pgbouncer.ini", &self.settings).display().to_string();
        let address = self.address();
        self.home.start(&program, &[file], |_| TcpStream::connect(address).is_ok());
    }

    /// What it said, since it was made.
    pub fn log(&self) -> String {
        self.home.log()
    }
}
