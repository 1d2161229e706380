"""Machines at EC2: the slow part, the same for all three servers of this example.

Where EC2 is and who asks comes from the usual variables: AWS_ENDPOINT_URL, AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID, ...
"""

import boto3

TAG = "acceptd:delivery"
ec2 = boto3.client("ec2")


def find(delivery):
    """The machine that was launched for this delivery, or None."""
    alive = ["pending", "running", "stopping", "stopped"]
    filters = [{"Name": f"tag:{TAG}", "Values": [delivery]}, {"Name": "instance-state-name", "Values": alive}]
    for reservation in ec2.describe_instances(Filters=filters)["Reservations"]:
        for instance in reservation["Instances"]:
            return instance["InstanceId"]
    return None


def launch(ami, instance_type, delivery=None):
    """Asks for a machine and returns its id at once; the machine is not running yet.

    With a delivery id, EC2 itself refuses to launch two (ClientToken), and the machine can be found again (tag).
    """
    once = {}
    if delivery:
        tags = [{"Key": TAG, "Value": delivery}]
        once = {"ClientToken": delivery, "TagSpecifications": [{"ResourceType": "instance", "Tags": tags}]}
    reply = ec2.run_instances(ImageId=ami, InstanceType=instance_type, MinCount=1, MaxCount=1, **once)
    return reply["Instances"][0]["InstanceId"]


def wait_until_running(instance):
    """Looks every second until the machine runs; this takes as long as the cloud takes."""
    patience = {"Delay": 1, "MaxAttempts": 300}
    ec2.get_waiter("instance_running").wait(InstanceIds=[instance], WaiterConfig=patience)
