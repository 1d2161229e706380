//! What `acceptd::testing` promises to those who test their programs with it.

mod accept;
mod catalog;
mod crash;
mod expect;
mod play;
mod run_one;
mod settle;
mod shop;
mod time;
