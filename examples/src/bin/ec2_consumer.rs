//! The consumer behind acceptd in Rust: the same two HTTP endpoints as `examples/ec2/consumer.py`.
//!
//! `POST /start-ec2` takes `ec2.start`, launches a machine, waits until it runs and emits `ec2.started`.
//! `POST /ec2-started` takes `ec2.started` and emits `alarm.create`: the owner's notification.
//!
//! Usage: `ec2_consumer PORT`

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use examples::ec2::{Ec2, Refused};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Mutex;

const OUTCOME: &str = "application/vnd.acceptd.outcome+json";

#[derive(Clone)]
struct Cloud {
    ec2: Arc<Ec2>,
    /// Two attempts of one delivery can overlap: acceptd was killed, the first attempt is still at work here. So that
    /// the second finds what the first launches, only one looks and launches at a time. Waiting is not under it.
    launching: Arc<Mutex<()>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StartEc2 {
    ami: String,
    instance_type: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ec2Started {
    instance_id: String,
    instance_type: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let port = std::env::args().nth(1).context("usage: ec2_consumer PORT")?.parse().context("not a port")?;
    let cloud = Cloud { ec2: Arc::new(Ec2::from_environment()?), launching: Arc::default() };
    let app =
        Router::new().route("/start-ec2", post(start_ec2)).route("/ec2-started", post(ec2_started)).with_state(cloud);
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    axum::serve(listener, app).await?;
    Ok(())
}

async fn start_ec2(
    State(cloud): State<Cloud>,
    headers: HeaderMap,
    Json(wanted): Json<StartEc2>, // what does not fit is answered with a 4xx: acceptd does not try again
) -> Result<Response, Problem> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let (delivery, attempt) = (header("acceptd-delivery"), header("acceptd-attempt"));
    if delivery.is_empty() {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "Acceptd-Delivery is missing"));
    }
    // Of its own, so that it ends what it began even when acceptd is killed and the connection closes.
    let started = tokio::spawn(async move { machine_for(&cloud, &wanted, &delivery, &attempt).await }).await??;
    let result = json!({ "instanceId": started.instance_id });
    Ok(outcome(json!({ "result": result, "emit": [{ "type": "ec2.started", "data": started }] })))
}

async fn machine_for(cloud: &Cloud, wanted: &StartEc2, delivery: &str, attempt: &str) -> anyhow::Result<Ec2Started> {
    let instance_id = {
        let _one_at_a_time = cloud.launching.lock().await;
        match cloud.ec2.find(delivery).await? {
            Some(id) => {
                println!("attempt {attempt}: {id} was launched by an earlier attempt");
                id
            }
            None => {
                let id = cloud.ec2.launch(&wanted.ami, &wanted.instance_type, delivery).await?;
                println!("attempt {attempt}: launched {id}");
                id
            }
        }
    };
    loop {
        match cloud.ec2.state(&instance_id).await?.as_str() {
            "running" => break,
            "pending" => tokio::time::sleep(Duration::from_secs(1)).await,
            state => bail!("{instance_id} is {state} instead of running"),
        }
    }
    println!("attempt {attempt}: {instance_id} is running");
    Ok(Ec2Started { instance_id, instance_type: wanted.instance_type.clone() })
}

async fn ec2_started(Json(started): Json<Ec2Started>) -> Response {
    let alarm = json!({
        "title": format!("{} is running", started.instance_id),
        "text": format!("Your {} machine is ready.", started.instance_type),
        "level": "success",
    });
    outcome(json!({ "emit": [{ "type": "alarm.create", "data": alarm }] }))
}

fn outcome(body: Value) -> Response {
    ([(header::CONTENT_TYPE, OUTCOME)], body.to_string()).into_response()
}

/// An error as acceptd reads it: 4xx gives up, 429 comes back later, 5xx tries again.
struct Problem {
    status: StatusCode,
    title: String,
}

impl Problem {
    fn new(status: StatusCode, title: impl Into<String>) -> Self {
        Self { status, title: title.into() }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Problem {
    fn from(error: E) -> Self {
        let error = error.into();
        let status = match error.downcast_ref::<Refused>().map(|refused| refused.code.as_str()) {
            Some("RequestLimitExceeded" | "Throttling" | "InsufficientInstanceCapacity") => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Some(code) if code.starts_with("Invalid") => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, format!("{error:#}"))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({ "title": self.title, "status": self.status.as_u16() }).to_string();
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
        }
        response
    }
}
