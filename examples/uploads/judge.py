"""What came of it, in numbers, and whether that is what acceptd promises."""

from view import seconds


def judge(alice, bob, estimate, counts, each, least, learn):
    """Prints both. `each` service was to get so many items; answers the exit code."""
    took = seconds(alice["createTime"], max(alice["endTime"], bob["endTime"]))
    waited, whole = (seconds(bob["createTime"], bob[name]) for name in ("startTime", "endTime"))
    came = seconds(alice["createTime"], bob["createTime"])
    lost = each * len(counts) - sum(count["items"] for count in counts.values())
    refused = sum(count["refused"] for count in counts.values())
    error = None
    print(f"\n{each} items for each service; {least:.1f} s is the least that takes")
    print(f"  everything     ended after {took:.1f} s: {took / least:.3f} of the least")
    if estimate:
        left = seconds(alice["createTime"], alice["endTime"]) - estimate["after"]
        error = 100 * abs(estimate["left"] - left) / left
        at = f"after {estimate['after']:.1f} s, at 10 %"
        print(f"  the estimate   {at}: {estimate['left']:.1f} s left; it was {left:.1f} s, off by {error:.1f} %")
    print(f"  bob's item     came after {came:.1f} s, began {waited:.1f} s later, ended {whole:.1f} s later")
    for name, count in counts.items():
        most = f"at most {count['mostInASecond']} in a second and {count['mostInWork']} at work"
        print(f"  {name:<14} saw {count['requests']} requests, {most}; refused {count['refused']} (429)")
    print()

    verdicts = {
        "both operations succeeded": alice["status"] == bob["status"] == "succeeded",
        f"{lost} items were lost": lost == 0,
    }
    if not learn:
        verdicts |= {
            f"the services refused {refused} requests": refused == 0,
            f"it took {100 * (took / least - 1):.1f} % longer than the least (5 %)": took <= 1.05 * least,
            "the estimate at 10 % was " + (f"off by {error:.1f} % (10 %)" if estimate else "missing"): (
                error is not None and error <= 10
            ),
            f"bob's item began after {waited:.1f} s, although alice's were first (2 s)": waited <= 2,
        }
    for words, holds in verdicts.items():
        print("ok  " if holds else "FAIL", words)
    return 0 if all(verdicts.values()) else 1
