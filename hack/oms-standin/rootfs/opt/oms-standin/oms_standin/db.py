"""Connections to the MetaDB, and running a file of SQL."""
import pymysql

TRIGGER_EXISTS = 5734
DATABASE_ERRORS = (pymysql.MySQLError, OSError)


def connect(config, role):
    return pymysql.connect(
        charset="utf8mb4",
        autocommit=True,
        connect_timeout=5,
        read_timeout=600,
        **config.connection(role)
    )


def statements(text):
    """Splits as the mysql client does: by the delimiter at a line's end, which DELIMITER changes."""
    delimiter, lines = ";", []
    for line in text.splitlines():
        bare = line.strip()
        if not lines and (not bare or bare.startswith("--")):
            continue
        if bare.upper().startswith("DELIMITER "):
            delimiter = bare.split()[1]
            continue
        lines.append(line)
        if bare.endswith(delimiter):
            statement = "\n".join(lines).rstrip()
            yield statement[: -len(delimiter)]
            lines = []
    if lines:
        raise ValueError("a statement is not ended: %s" % lines[0])


def scalar(connection, query, *arguments):
    with connection.cursor() as cursor:
        cursor.execute(query, arguments)
        row = cursor.fetchone()
        return row[0] if row else None


def execute(connection, query, *arguments):
    with connection.cursor() as cursor:
        # Without arguments the driver must not look for % in the text.
        return cursor.execute(query, arguments or None)


def execute_ddl(connection, statement):
    """Beside other sessions' DDL OceanBase now and then tries a CREATE TRIGGER twice and then says
    that it exists already. The statement's own trigger is there, so this is no failure."""
    try:
        execute(connection, statement)
    except pymysql.MySQLError as e:
        if e.args[0] != TRIGGER_EXISTS or not statement.lstrip().upper().startswith("CREATE TRIGGER"):
            raise
        print("  (the server says that this trigger exists; going on)", flush=True)
