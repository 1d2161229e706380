//! The shop in Rust: an order and its event in one transaction, like `examples/outbox/shop.py`.
//!
//! Usage: `outbox_shop ORDER ITEM [before|after]`; `SHOP_DATABASE` is the database's URL.

use std::time::Duration;

use acceptd::store::postgres::accept_in;
use acceptd::{Event, Submission, schemars};
use anyhow::{Context, bail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_postgres::NoTls;

/// Somebody placed an order.
#[derive(Event, Serialize, Deserialize, JsonSchema)]
#[event("order.placed")]
struct OrderPlaced {
    order: i32,
    item: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (order, item, wanted) = match &arguments[..] {
        [order, item] => (order, item, None),
        [order, item, wanted] => (order, item, Some(wanted.as_str())),
        _ => bail!("usage: outbox_shop ORDER ITEM [before|after]"),
    };
    let (order, item) = (order.parse().context("ORDER is a number")?, item.clone());
    let url = std::env::var("SHOP_DATABASE").context("SHOP_DATABASE is not set")?;
    let (mut database, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tokio::spawn(connection);

    let transaction = database.transaction().await?;
    transaction.execute("INSERT INTO orders (id, item) VALUES ($1, $2)", &[&order, &item]).await?;
    let mut submission = Submission::of(&OrderPlaced { order, item })?.owner("user-42");
    submission.idempotency = Some((String::new(), format!("order-{order}"), [0; 32]));
    println!("{}", accept_in(&transaction, &submission).await?);
    stay("before", wanted).await;
    transaction.commit().await?;
    stay("after", wanted).await;
    Ok(())
}

/// Stays here when this is where somebody wants to kill it.
async fn stay(place: &str, wanted: Option<&str>) {
    if wanted == Some(place) {
        println!("{place} the commit");
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
}
