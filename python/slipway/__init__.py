"""Slipway: deploy models, ask them, take back what does not work.

    import slipway

    slipway.deploy("platform.yaml")
    slipway.predict("fraud", [{"amount": 12.5, "country": "CH"}])
    slipway.rollback("fraud", reason="the upstream feed is broken")

Where the platform is comes from SLIPWAY_SERVER and SLIPWAY_TOKEN, else from the files of a
platform that runs on this machine. The package needs nothing but the standard library.
"""

from slipway._client import Client, Deployment, Endpoint, Revision, Stage, deploy, predict, rollback, status, wait
from slipway._errors import DeploymentFailed, Error
from slipway._program import find_platform

__all__ = [
    "Client",
    "Deployment",
    "DeploymentFailed",
    "Endpoint",
    "Error",
    "Revision",
    "Stage",
    "deploy",
    "find_platform",
    "predict",
    "rollback",
    "status",
    "wait",
]
