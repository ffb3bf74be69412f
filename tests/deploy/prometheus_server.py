"""Debian's real Prometheus on a free port, scraping given targets with the jobs of deploy/prometheus/prometheus.yml."""

import contextlib
import json
import re
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import yaml


class Prometheus:
    def __init__(self, address):
        self.address = address

    def _get(self, path, **parameters):
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters, doseq=True)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]

    def range(self, expression, start, end, step):
        """[(labels, [values])] of an expression evaluated from start to end."""
        result = self._get("query_range", query=expression, start=start, end=end, step=step)["result"]
        return [(series["metric"], [float(value) for _, value in series["values"]]) for series in result]

    def label_values(self, selector, label):
        return self._get(f"label/{label}/values", **{"match[]": selector})

    def wait_until_up(self, count, deadline):
        while time.monotonic() < deadline:
            targets = self._get("targets")["activeTargets"]
            if sum(target["health"] == "up" for target in targets) == count:
                return
            time.sleep(0.2)
        raise TimeoutError(f"of {count} targets, up are: {[t['scrapeUrl'] for t in targets if t['health'] == 'up']}, "
                           f"others say {[t['lastError'] for t in targets if t['health'] != 'up']}")


@contextlib.contextmanager
def running(config_file, targets, scratch, scrape_interval):
    """`targets`: scrape job -> addresses, in place of those in `config_file`. Everything else of the file stays."""
    config = yaml.safe_load(config_file.read_text())
    config["global"].update(scrape_interval=scrape_interval, scrape_timeout=scrape_interval)
    assert {job["job_name"] for job in config["scrape_configs"]} == set(targets)
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": targets[job["job_name"]]}]
        job.pop("file_sd_configs", None)
    file = scratch / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    process = subprocess.Popen(["prometheus", f"--config.file={file}", f"--storage.tsdb.path={scratch / 'tsdb'}", "--web.listen-address=127.0.0.1:0"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    address, log = None, []
    try:
        for line in process.stderr:
            log.append(line)
            found = re.search(r'msg="Listening on" address=(127\.0\.0\.1:\d+)', line)
            address = found.group(1) if found else address
            # Before this line it answers 503.
            if "Server is ready to receive web requests" in line:
                break
        else:
            raise RuntimeError("prometheus ended:\n" + "".join(log))
        # Its log goes on; a full pipe would stop it.
        drain = threading.Thread(target=process.stderr.read)
        drain.start()
        yield Prometheus(address)
        process.terminate()
        drain.join()
    finally:
        process.terminate()
        process.wait(timeout=20)
        process.stderr.close()
