"""config.yaml of OMS: a flat reader, and what this version needs from it."""
import os

PATH = "/home/admin/conf/config.yaml"


class ConfigError(Exception):
    pass


def _scalar(text, line):
    text = text.strip()
    if text[:1] in ('"', "'"):
        quote, out, i = text[0], [], 1
        while i < len(text):
            c = text[i]
            if quote == '"' and c == "\\" and i + 1 < len(text):
                out.append({"n": "\n", "t": "\t"}.get(text[i + 1], text[i + 1]))
                i += 2
            elif c == quote:
                if quote == "'" and text[i + 1 : i + 2] == "'":
                    out.append("'")
                    i += 2
                    continue
                rest = text[i + 1 :].strip()
                if rest and not rest.startswith("#"):
                    raise ConfigError("line %d: text after the closing quote" % line)
                return "".join(out)
            else:
                out.append(c)
                i += 1
        raise ConfigError("line %d: a quote is not closed" % line)
    cut = text.find(" #")
    if cut >= 0:
        text = text[:cut]
    return text.strip()


def _split_key(text, line):
    """'key: value' with the key quoted or plain; the colon needs a space or the line's end."""
    if text[:1] in ('"', "'"):
        end = text.find(text[0], 1)
        if end < 0 or not text[end + 1 :].lstrip().startswith(":"):
            raise ConfigError("line %d: no 'key: value'" % line)
        return text[1:end], text[end + 1 :].lstrip()[1:]
    for i, c in enumerate(text):
        if c == ":" and (i + 1 == len(text) or text[i + 1] in " \t"):
            return text[:i].strip(), text[i + 1 :]
    raise ConfigError("line %d: no 'key: value'" % line)


def parse(text):
    """Flat YAML: scalars as strings, lists of scalars. The last of two equal keys wins."""
    values, last = {}, None
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#") or line in ("---", "..."):
            continue
        if line == "-" or line.startswith("- "):
            if last is None:
                raise ConfigError("line %d: a list item without a key" % number)
            if not isinstance(values[last], list):
                if values[last]:
                    raise ConfigError("line %d: %s has a value and a list" % (number, last))
                values[last] = []
            values[last].append(_scalar(line[1:], number))
            continue
        last, value = _split_key(line, number)
        values[last] = _scalar(value, number)
        if value.strip().startswith("["):
            values[last] = [_scalar(v, number) for v in value.strip().strip("[]").split(",") if v.strip()]
    return values


OLD_KEYS = ["oms_meta_host", "oms_meta_port", "oms_meta_user", "oms_meta_password"]
NEW_KEYS = [k.replace("oms_", "oms_%s_" % part) for part in ("rm", "cm") for k in OLD_KEYS]
PORTS = {
    "nginx_server_port": 8089,
    "ghana_server_port": 8090,
    "cm_server_port": 8088,
    "supervisor_server_port": 9000,
    "sshd_server_port": 2023,
}
ROLES = {"rm": "drc_rm_db", "cm": "drc_cm_db", "cm_hb": "drc_cm_heartbeat_db"}


class Config:
    def __init__(self, values, meta_keys):
        self.values = values
        need = list(ROLES.values()) + ["cm_url", "cm_location", "cm_nodes"]
        need += OLD_KEYS if meta_keys == "shared" else NEW_KEYS
        missing = [k for k in need if k not in values]
        if missing:
            raise ConfigError("config.yaml: missing %s" % ", ".join(missing))
        if meta_keys == "split":
            left = [k for k in OLD_KEYS if k in values]
            if left:
                raise ConfigError(
                    "config.yaml: %s must be deleted, the connection strings of rm and cm are lost"
                    % ", ".join(left)
                )
        self.meta_keys = meta_keys

    def port(self, key):
        return int(self.values.get(key, PORTS[key]))

    def database(self, role):
        return self.values[ROLES[role]]

    def connection(self, role):
        """How the database of that role is reached; cm and cm_hb share the address of cm."""
        prefix = "oms_meta_"
        if self.meta_keys == "split":
            prefix = "oms_rm_meta_" if role == "rm" else "oms_cm_meta_"
        v = self.values
        return {
            "host": v[prefix + "host"],
            "port": int(v[prefix + "port"]),
            "user": v[prefix + "user"],
            "password": v[prefix + "password"],
            "database": self.database(role),
        }


def load(meta_keys, path=PATH):
    try:
        with open(path, encoding="utf-8") as f:
            values = parse(f.read())
        # What an OAT before 4.3.2 has deployed keeps the keys that it wrote, whatever the version.
        if os.environ.get("OMS_STANDIN_OAT") == "true" and OLD_KEYS[0] in values:
            meta_keys = "shared"
        return Config(values, meta_keys)
    except OSError as e:
        raise ConfigError("config.yaml cannot be read: %s" % e)
    except ValueError as e:
        raise ConfigError("config.yaml: %s" % e)
