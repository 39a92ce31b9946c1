"""The programs that supervisord runs. One process each: python3 -m oms_standin.service NAME."""
import http.client
import http.server
import json
import os
import signal
import socketserver
import ssl
import sys
import threading
import time

from . import config, db, faults, schema, task_api, version

HOST_IP = os.environ.get("OMS_HOST_IP", "127.0.0.1")
CERTIFICATE, KEY = "/etc/pki/nginx/oms_server.crt", "/etc/pki/nginx/oms_server.key"
BEAT_SECONDS = float(os.environ.get("OMS_STANDIN_BEAT_SECONDS", "1"))


def log(text):
    print("%s %s" % (time.strftime("%Y-%m-%d %H:%M:%S"), text), flush=True)


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    allow_reuse_address = True
    daemon_threads = True


def handler(answer, post=None):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.reply(*answer(self.path.split("?")[0]))

        def do_POST(self):
            question = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if post is None:
                self.reply(404, b"")
            else:
                self.reply(*post(self.path, self.headers.get("Authorization"), question))

        def reply(self, status, body):
            data = json.dumps(body).encode() if not isinstance(body, bytes) else body
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments):
            pass

    return Handler


def serve(port, answer, tls=None, post=None):
    """Listens on the host's own address only: the container shares the host's network."""
    server = Server((HOST_IP, port), handler(answer, post))
    if tls:
        # The handshake is the connection's own thread's: a silent client holds nobody up.
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    log("listening on %s:%d%s" % (HOST_IP, port, " (HTTPS)" if tls else ""))
    server.serve_forever()


def serve_aside(port, answer):
    server = Server((HOST_IP, port), handler(answer))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    log("listening on %s:%d" % (HOST_IP, port))


def nginx(conf):
    console = conf.port("ghana_server_port")

    def healthy():
        try:
            connection = http.client.HTTPConnection(HOST_IP, console, timeout=3)
            connection.request("GET", "/health")
            return json.load(connection.getresponse()).get("healthy") is True
        except (OSError, ValueError, http.client.HTTPException):
            return False

    def answer(path):
        fault = faults.get("nginx")
        if path == "/oms/health" and version.data(version.own()).get("health", True):
            if fault.get("hangRequests"):
                time.sleep(3600)
            if "healthStatus" in fault:
                return int(fault["healthStatus"]), b""
            value = healthy() and fault.get("health", True)
            return 200, {"success": True, "data": {"healthy": value}}
        if path == "/":
            return 200, b"<html><title>OMS stand-in</title></html>"
        return 404, b""

    def post(path, authorization, question):
        """All of it is the console's to answer."""
        try:
            connection = http.client.HTTPConnection(HOST_IP, console, timeout=30)
            connection.request("POST", path, question, {"Authorization": authorization or ""})
            reply = connection.getresponse()
            return reply.status, reply.read()
        except (OSError, http.client.HTTPException):
            return 502, b""

    # With the certificate mounted only HTTPS is offered (guide, step 5).
    tls = None
    if os.path.isfile(CERTIFICATE) and os.path.isfile(KEY):
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(CERTIFICATE, KEY)
    serve(conf.port("nginx_server_port"), answer, tls, post)


def oms_console(conf):
    deadline = time.monotonic() + 20
    while True:
        try:
            why = schema.problem(conf)
            break
        except db.DATABASE_ERRORS as e:
            log("MetaDB: %s" % (e,))
            if time.monotonic() > deadline:
                return 1
            time.sleep(0.5)
    if why:
        log("cannot run: %s" % why)
        return 1

    def answer(path):
        try:
            connection = db.connect(conf, "rm")
            try:
                value = db.scalar(connection, "SELECT version FROM oms_version") == version.own()
            finally:
                connection.close()
        except db.DATABASE_ERRORS as e:
            log("MetaDB: %s" % (e,))
            value = False
        return 200, {"healthy": value, "version": version.own()}

    serve(conf.port("ghana_server_port"), answer,
          post=lambda path, authorization, question: task_api.serve(conf, path, authorization, question))


def beat(conf, role, once):
    """Calls once(connection) every beat; a lost connection is opened again."""
    connection = None
    while True:
        try:
            connection = connection or db.connect(conf, role)
            once(connection)
        except db.DATABASE_ERRORS as e:
            log("MetaDB: %s" % (e,))
            connection = None
        time.sleep(BEAT_SECONDS)


def oms_drc_cm(conf):
    serve_aside(conf.port("cm_server_port"), lambda path: (200, {"success": True}))

    def once(connection):
        status = faults.get("oms_drc_cm").get("hostStatus", "ONLINE")
        changed = db.execute(
            connection,
            "UPDATE host SET host_status = %s, gmt_modified = now() WHERE ip = %s",
            status,
            HOST_IP,
        )
        if not changed and not db.scalar(connection, "SELECT id FROM host WHERE ip = %s", HOST_IP):
            db.execute(
                connection,
                "INSERT INTO host (ip, host_status, gmt_created, gmt_modified)"
                " VALUES (%s, %s, now(), now())",
                HOST_IP,
                status,
            )

    beat(conf, "cm", once)


def oms_drc_supervisor(conf):
    serve_aside(conf.port("supervisor_server_port"), lambda path: (200, {"success": True}))

    def once(connection):
        if faults.get("oms_drc_supervisor").get("noHeartbeat"):
            return
        db.execute(
            connection, "INSERT INTO heatbeat_sequence (gmt_created, gmt_modified) VALUES (now(), now())"
        )
        sequence = connection.insert_id()
        changed = db.execute(
            connection,
            "UPDATE heart_beat SET gmt_modified = now(), sequence_id = %s"
            " WHERE task_type = 'SUPERVISOR' AND task_name = 'supervisor' AND host_ip = %s",
            sequence,
            HOST_IP,
        )
        if not changed:
            db.execute(
                connection,
                "INSERT INTO heart_beat (task_type, task_name, host_ip, sequence_id, gmt_created,"
                " gmt_modified) VALUES ('SUPERVISOR', 'supervisor', %s, %s, now(), now())",
                HOST_IP,
                sequence,
            )

    beat(conf, "cm_hb", once)


def sshd(conf):
    serve(conf.port("sshd_server_port"), lambda path: (404, b""))


def crond(conf):
    while True:
        time.sleep(3600)


def main(name):
    fault = faults.get(name)
    if fault.get("ignoreTerm"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if fault.get("dieAtStart"):
        log("fault: dies at its start")
        return int(fault.get("exitCode", 1))
    if "dieAfterSeconds" in fault:
        code = int(fault.get("exitCode", 1))
        timer = threading.Timer(float(fault["dieAfterSeconds"]), os._exit, [code])
        timer.daemon = True
        timer.start()
    elif faults.act(name, "start"):
        return int(fault["exitCode"])
    try:
        conf = config.load(version.data(version.own())["metaKeys"])
    except config.ConfigError as e:
        log("cannot run: %s" % e)
        return 1
    programs = (nginx, oms_console, oms_drc_cm, oms_drc_supervisor, sshd, crond)
    return {p.__name__: p for p in programs}[name](conf) or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
