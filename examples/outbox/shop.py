"""The shop: an order and its event in one transaction.

    shop.py ORDER ITEM [before|after]

Prints the operation's id. With `before` or `after` it says so and stays there, before or after its commit, so that
somebody can kill it. SHOP_DATABASE is the database's URL.
"""

import json
import os
import sys
import time

import psycopg


def stay(where, wanted):
    if where == wanted:
        print(f"{where} the commit", flush=True)
        time.sleep(3600)


def main(order, item, wanted=None):
    with psycopg.connect(os.environ["SHOP_DATABASE"]) as database:
        database.execute("INSERT INTO orders (id, item) VALUES (%s, %s)", (order, item))
        (operation,) = database.execute(
            "SELECT acceptd.accept('order.placed', %s::jsonb, owner => %s, idempotency_key => %s)",
            (json.dumps({"order": int(order), "item": item}), "user-42", f"order-{order}"),
        ).fetchone()
        print(operation, flush=True)
        stay("before", wanted)
    stay("after", wanted)


if len(sys.argv) not in (3, 4):
    sys.exit("usage: shop.py ORDER ITEM [before|after]")
main(*sys.argv[1:])
