"""What the scripts in /root and the omsflow modules call."""
import os
import sys

from . import config, db, faults, schema, version


def _config():
    return config.load(version.data(version.own())["metaKeys"])


def main(arguments):
    command = arguments[0]
    try:
        if command == "version":
            print(version.own())
            return 0
        if command == "fault":  # SCRIPT POINT: acts; the exit code is the fault's
            return faults.act(arguments[1], arguments[2])
        if command == "fault-flag":  # SCRIPT KEY: 0 when it is set
            return 0 if faults.get(arguments[1]).get(arguments[2]) else 1
        if command == "check-config":
            conf = _config()
            if os.environ.get("OMS_HOST_IP") not in conf.values["cm_nodes"]:
                return schema.fail("OMS_HOST_IP %s is not in cm_nodes" % os.environ.get("OMS_HOST_IP"))
            return 0
        if command == "migrate":  # SCRIPT
            return schema.migrate(_config(), arguments[1])
        if command == "init-db":  # SCRIPT: as docker_init.sh does: nothing when it is ours already
            if schema.found(_config()) == version.own():
                print("schema is of %s already" % version.own())
                return 0
            return schema.migrate(_config(), arguments[1])
        if command == "check-schema":
            why = schema.problem(_config())
            return schema.fail(why) if why else 0
        if command == "add-resource":
            schema.add_resource(_config(), os.environ.get("OMS_HOST_IP", ""))
            return 0
    except config.ConfigError as e:
        return schema.fail(e)
    except ValueError as e:
        return schema.fail(e)
    except db.DATABASE_ERRORS as e:
        return schema.fail("MetaDB: %s" % (e,))
    return schema.fail("unknown command %s" % command, 2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
