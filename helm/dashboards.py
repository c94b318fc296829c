"""Makes the chart's Grafana dashboards out of the table in dashboards.yaml.

    python helm/dashboards.py

The JSON is committed, so that the chart needs no build; a test compares the two. It knows nothing
of Grafana but the form of a dashboard with a grid of time series.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
TABLE = HERE / "dashboards.yaml"
OUT = HERE / "personaplex-callcenter" / "files" / "dashboards"
SCHEMA_VERSION = 39  # of Grafana 11; newer ones migrate it
FILTER = 'namespace=~"$namespace"'
WIDTH, HEIGHT, COLUMNS = 12, 8, 2
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def main() -> None:
    """Writes every dashboard."""
    for name, dashboard in render_all().items():
        (OUT / f"{name}.json").write_text(as_text(dashboard), encoding="utf-8")


def render_all() -> dict[str, dict[str, Any]]:
    """Every dashboard by its file's name."""
    table = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return {name: _dashboard(name, entry) for name, entry in table.items()}


def as_text(dashboard: dict[str, Any]) -> str:
    """As it stands in its file."""
    return json.dumps(dashboard, indent=1) + "\n"


def _dashboard(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "uid": f"callcenter-{name}",
        "title": entry["title"],
        "tags": ["callcenter"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "timezone": "browser",
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "links": [
            {
                "title": "Call center",
                "type": "dashboards",
                "tags": ["callcenter"],
                "asDropdown": True,
                "keepTime": True,
            }
        ],
        "templating": {"list": [_datasource(), _namespace()]},
        "panels": [_panel(index, *panel) for index, panel in enumerate(entry["panels"])],
    }


def _datasource() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "hide": 0,
    }


def _namespace() -> dict[str, Any]:
    """The namespace; "All" is `.*`, which also matches a Prometheus without that label."""
    return {
        "name": "namespace",
        "type": "query",
        "datasource": SOURCE,
        "query": "label_values(callcenter_calls_active, namespace)",
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
        "hide": 0,
    }


def _panel(
    index: int, title: str, unit: str, queries: dict[str, str], description: str = ""
) -> dict[str, Any]:
    row, column = divmod(index, COLUMNS)
    return {
        "id": index + 1,
        "type": "timeseries",
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {
            "defaults": {
                "unit": unit,
                "min": 0,
                "custom": {"lineWidth": 2, "fillOpacity": 8, "showPoints": "never"},
            },
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": SOURCE,
                "expr": expression.replace("$filter", FILTER),
                "legendFormat": legend,
                "range": True,
            }
            for number, (legend, expression) in enumerate(queries.items())
        ],
    }


if __name__ == "__main__":
    main()
