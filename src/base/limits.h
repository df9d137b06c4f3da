/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every limit and timeout, in one place. docs/reference/limits.md is generated from this file: a line
 * here is a name, a value and a comment that says why.
 */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#include "base/compiler.h"

/* Times in milliseconds. */
enum {
        TIMEOUT_TLS_HANDSHAKE = 10 * 1000,   /* from accept to TLS done */
        TIMEOUT_HTTP1 = 10 * 1000,           /* from the first byte of a request to its last */
        TIMEOUT_JOIN = 60 * 1000,            /* a join stream from its first byte to its result */
        TIMEOUT_JOIN_GOODBYE = 2 * 1000,     /* after a join's result or refusal, until its stream has closed */
        TIMEOUT_STS_CONNECT = 5 * 1000,      /* TCP and TLS to STS */
        TIMEOUT_STS_TOTAL = 15 * 1000,       /* one question to STS, retries included in the join's minute */
        PACE_STS_FIRST = 200,                /* STS is asked again after this */
        PACE_STS_MOST = 2 * 1000,            /* and after this at most */
        TIMEOUT_IDLE_CONNECTION = 300 * 1000, /* a connection without a stream is closed */
        TIMEOUT_IDLE_STRANGER = 60 * 1000,   /* the same for one that has not said who it is */
        TIMEOUT_STRANGER_SPARED = 1000,      /* a connection this young does not make room for another */
        TIMEOUT_RPC_LINGER = 60 * 1000,      /* to read the answer of a finished call */
        TIMEOUT_KEEPALIVE = 30 * 1000,       /* an HTTP/2 ping goes out after this silence */
        TIMEOUT_KEEPALIVE_ANSWER = 15 * 1000, /* and must be answered within this */
        TIMEOUT_GRACEFUL_STOP = 30 * 1000,   /* from QUIT to the end */
        TIMEOUT_STOP = 5 * 1000,             /* from TERM to the end */
        TIMEOUT_STOP_STEP = 1500,            /* of that, before the next service is told to end as well */
        TIMEOUT_RESTART_FIRST = 100,         /* pause before a dead service is started again, doubled each time */
        TIMEOUT_RESTART_MOST = 30 * 1000,
        TIMEOUT_RESTART_FORGIVEN = 60 * 1000, /* a service that lived this long starts over with the first pause */
        PACE_RELINK = 500,                   /* a lost link to a neighbour that lives is asked for again after this */
        TIMEOUT_OWN_CERTIFICATE = 12 * 3600 * 1000, /* between looks at whether our own web certificate has expired */
        TIMEOUT_CONNECT = 10 * 1000,         /* TCP connect of our clients */
        TIMEOUT_DIAL_NODE = 30 * 1000,       /* from a client's CONNECT until its proxy has reached the node */
        TIMEOUT_CONNECT_NEXT = 250,          /* before the next address is tried beside it (RFC 8305 section 8) */
        TIMEOUT_LINGER = 5 * 1000,           /* a closed connection sends what is left and hears the peer out */
        TIMEOUT_ACCEPT_PAUSE = 100,          /* no accepting for so long when descriptors have run out */
        TIMEOUT_RPC = 30 * 1000,             /* a unary call of our clients */
        TIMEOUT_IMDS = 1000,                 /* connect or answer of the instance metadata service */
        TIMEOUT_CREDENTIAL_PROCESS = 60 * 1000,
        TIMEOUT_CONTAINER = 2 * 1000,        /* connect to a container's credentials endpoint; its answer twice that */
        PACE_CONTAINER = 1000,               /* it is asked again after this */
        TIMEOUT_STORE_MARKER = 10 * 1000,    /* the marker lags at most this far behind a busy store */
        TIMEOUT_STORE_PURGE = 500,           /* expired items are removed together, not one by one */
        TIMEOUT_STORE_PURGE_RETRY = 10 * 1000, /* after a purge that failed: the disk is full */
        TIMEOUT_OUTBOX_SWEEP = 1000,         /* audited events leave the store together */
        TIMEOUT_REFUSALS_UNTOLD = 10 * 1000, /* until refused joins that were only counted are told as a number */
        TIMEOUT_OUTBOX_RETRY = 5 * 1000,     /* after events.log could not be written */
        TIMEOUT_LOGIN_WAIT = 20 * 60 * 1000, /* after LIMIT_LOGIN_FAILURES, until the next is heard; as Teleport has it */
        TIMEOUT_LOGIN_USER_WAIT = 3600 * 1000, /* what LIMIT_LOGIN_FAILURES_USER is counted in */
        PACE_HEARTBEAT_MIN = 1000,            /* bounds of what a server may ask of its hosts */
        PACE_HEARTBEAT_MAX = 3600 * 1000,
        PACE_STORE_IDENTITY = 1000,           /* a host whose disk did not take its identity tries again after this */
        PACE_RETRY_FIRST = 200,               /* a host that lost the cluster tries again after this */
        PACE_RETRY_MOST = 60 * 1000,          /* and at least this often */
};

/* Sizes in bytes, counts as they are. */
enum {
        LIMIT_NAME = 256,                     /* host, token, cluster, role names */
        LIMIT_USER_NAME = 128,                /* a user of the cluster; e-mail addresses are common */
        LIMIT_LOGIN_NAME = 32,                /* an account on a node; useradd takes no longer ones */
        LIMIT_USER_ROLES = 32,                /* roles of one user, all of them in each certificate */
        LIMIT_PASSWORD_MIN = 12,              /* characters; what an argon2 hash that got out still withstands */
        LIMIT_PASSWORD = 512,                 /* bytes; more are no password */
        LIMIT_PASSWORD_WORK = 2,              /* hashes worked out at once: 64 MiB and a core each */
        LIMIT_PASSWORD_WAITING = 64,          /* that wait for it; the last of them some five seconds */
        LIMIT_PASSWORD_WAITING_SOURCE = 8,    /* of those, from one source */
        LIMIT_LOGIN_FAILURES = 5,             /* of a user from one source, before it waits */
        LIMIT_LOGIN_FAILURES_USER = 50,       /* of a user from unknown sources in an hour: 1 in 20,000 to guess a code */
        LIMIT_LOGIN_FAILURES_SOURCE = 60,     /* of one source, whoever it says it is, in TIMEOUT_LOGIN_WAIT */
        LIMIT_LOGIN_TALLIES = 20000,          /* counters of failures in memory, 100 bytes each */
        LIMIT_LOGIN_SOURCES = 8,              /* places kept that a user logged in from */
        LIMIT_INVITE_FAILURES = 5,            /* wrong codes before an invite ends */
        LIMIT_INVITE_SECONDS = 48 * 3600,     /* of an invite for a new user, at most; and of one … */
        LIMIT_INVITE_SECONDS_USUAL = 3600,
        LIMIT_RESET_SECONDS = 24 * 3600,      /* … that resets the password of one who is there */
        LIMIT_RESET_SECONDS_USUAL = 8 * 3600,
        LIMIT_CERT_NAMES = 100,               /* names in one certificate */
        LIMIT_ROLE_ITEMS = 200,               /* logins, labels, rules, values: of one list in a role or user */
        LIMIT_ROLE_IDLE_SECONDS = 30 * 24 * 3600, /* client_idle_timeout */
        LIMIT_LABEL_KEY = 256,
        LIMIT_LABEL_PATTERN = 512,            /* a value of node_labels; REGEX_PATTERN_MAX */
        LIMIT_LOCK_MESSAGE = 1024,            /* shown on the terminals that it ends */
        LIMIT_HTTP1_HEADER = 16 * KiB,        /* request line and headers */
        LIMIT_HTTP2_HEADER_LIST = 16 * KiB,   /* decoded */
        LIMIT_HTTP2_STREAMS = 100,            /* per connection */
        LIMIT_HTTP2_STREAMS_KNOWN = 2000,     /* per connection of an authenticated peer: a proxy carries many joins */
        LIMIT_TUNNEL_STREAMS = 4096,          /* SSH connections through one reverse tunnel */
        LIMIT_TUNNEL_WINDOW = 1 * MiB,        /* of each, under way to one who does not read; full speed up to 10 ms away at 100 MB/s */
        LIMIT_TUNNEL_CONTROL_BURST = 20000,   /* HTTP/2 frames in a tunnel that carry nothing, at once … */
        LIMIT_TUNNEL_CONTROL_PER_SECOND = 5000, /* … and as a rate: flow control of streams at full speed */
        LIMIT_RESET_BURST = 200,              /* stream resets on one connection, either side, at once */
        LIMIT_RESET_PER_SECOND = 20,          /* and as a rate */
        LIMIT_RESET_BURST_KNOWN = 400000,     /* the same for an authenticated peer, which passes on what all strangers do: … */
        LIMIT_RESET_PER_SECOND_KNOWN = 40000, /* … LIMIT_CONNECTIONS_UNAUTHENTICATED times as much */
        LIMIT_CONTROL_BURST = 1000,           /* HTTP/2 frames of a stranger that carry nothing, at once */
        LIMIT_CONTROL_PER_SECOND = 100,       /* and as a rate */
        LIMIT_UNREAD_OUTPUT = 1 * MiB,        /* queued for a peer that does not read */
        LIMIT_DESCRIPTORS = 64 * 1024,        /* of each process, if the system lets it: twice what 10,000 agents need, and room */
        LIMIT_CONNECT_ADDRESSES = 8,          /* of one name that are tried */
        LIMIT_ACCEPT_BATCH = 64,              /* connections accepted before others get their turn */
        LIMIT_TLS_CHAIN = 32 * KiB,           /* certificates a peer sends; ours are below 2 KiB, public ones below 8 */
        LIMIT_TLS_DEPTH = 8,                  /* certificates between a peer's and a trusted one */
        LIMIT_TLS_CONTROL = 16 * KiB,         /* unread answers to key updates and the like; 600 of them */
        LIMIT_RPC_JOIN = 64 * KiB,            /* gRPC message of the join methods */
        LIMIT_RPC = 1 * MiB,                  /* gRPC message of all other methods */
        LIMIT_RPC_HELD = 256 * KiB,           /* unfinished gRPC messages on one connection of a stranger */
        LIMIT_RPC_HELD_KNOWN = 8 * MiB,       /* the same for an authenticated peer */
        LIMIT_RPC_ARENA = 16 * MiB,           /* what the handler of one call may allocate for itself */
        LIMIT_RPC_MEMORY_FACTOR = 4,          /* decoded messages of one call: this times the message limit, and … */
        LIMIT_RPC_MEMORY_BASE = 64 * KiB,     /* … this: structs and lists are larger than their bytes */
        LIMIT_TCTL_ARENA = 1024 * MiB,        /* what tctl holds: every node there is, and what is made of it */
        LIMIT_RPC_DEPTH = 16,                 /* nesting of protobuf messages */
        LIMIT_RPC_FIELDS = 256 * KiB,         /* fields and list items of one message: bounds the work, memory has its own */
        LIMIT_STS_REQUEST = 16 * KiB,         /* the serialized request of a joining host */
        LIMIT_STS_HEADERS = 32,
        LIMIT_STS_HEADER_VALUE = 8 * KiB,     /* session tokens are commonly below 4 KiB */
        LIMIT_STS_ANSWER = 64 * KiB,          /* headers and body */
        LIMIT_STS_IN_FLIGHT = 64,
        LIMIT_STS_WAITING = 1000,             /* questions to STS, those in flight included; as many as pending joins */
        LIMIT_STS_TRIES = 2,                  /* per join */
        LIMIT_JSON_DEPTH = 16,
        LIMIT_YAML_FILE = 256 * KiB,
        LIMIT_YAML_DEPTH = 16,
        LIMIT_YAML_ALIASES = 100,
        LIMIT_YAML_NODES = 20000,             /* values in a file, aliases counted as what they repeat */
        LIMIT_AWS_FILE = 1 * MiB,             /* shared config and credentials files */
        LIMIT_WEB_IDENTITY_TOKEN = 32 * KiB,  /* STS takes 20,000 characters */
        LIMIT_CONTAINER_TRIES = 3,            /* of a container's credentials endpoint */
        LIMIT_AWS_ANSWER = 64 * KiB,          /* metadata and container endpoints */
        LIMIT_TOKEN_RULES = 1000,
        LIMIT_TOKEN_ROLES = 32,
        LIMIT_PATTERN = 2048,                 /* aws_arn in a rule; STS's own limit for an ARN */
        LIMIT_CONNECTIONS_UNAUTHENTICATED = 2000,
        LIMIT_CONNECTIONS_PER_SOURCE = 50,    /* unauthenticated, per address */
        LIMIT_PENDING_JOINS = 1000,
        LIMIT_PENDING_JOINS_PER_SOURCE = 100,
        LIMIT_FAILURES_PER_MINUTE = 20,       /* refused joins per source before answers are delayed */
        LIMIT_FAILURE_SOURCES = 4096,         /* sources remembered for that */
        LIMIT_REFUSALS_BURST = 1000,          /* refused joins of a source that log and audit tell one by one, at once … */
        LIMIT_REFUSALS_PER_MINUTE = 60,       /* … and as a rate; the others are counted */
        LIMIT_REFUSALS_BURST_ALL = 5000,      /* the same for all sources together */
        LIMIT_REFUSALS_PER_MINUTE_ALL = 300,
        LIMIT_RSA_BITS_MIN = 2048,
        LIMIT_RSA_BITS_MAX = 4096,
        LIMIT_STORE_VALUE = 256 * KiB,
        LIMIT_STORE_KEY = 1024,
        LIMIT_STORE_TXN = 4 * MiB,            /* keys and values of one transaction */
        LIMIT_STORE_RANGE = 1000,             /* items of one page */
        LIMIT_STORE_PAGE = 1 * MiB,           /* bytes of one page, one item more at most */
        LIMIT_STORE_BATCH = 1024,             /* operations committed together */
        LIMIT_STORE_PURGE = 256,              /* expired items removed at once */
        LIMIT_STORE_CACHE = 2 * MiB,          /* pages kept in memory; the kernel keeps the rest */
        LIMIT_STORE_LOG = 8 * MiB,            /* the write-ahead log between checkpoints */
        LIMIT_AUDIT_FIELD = 512,
        LIMIT_AUDIT_VALUES = 100,             /* values of one list */
        LIMIT_AUDIT_RECORD = 16 * KiB,        /* one line of events.log; fields beyond are left out, marked */
        LIMIT_AUDIT_BATCH = 1 * MiB,          /* written and synced together, one record more at most */
        LIMIT_AUDIT_TAIL = 4 * MiB,           /* searched at start for events that are already there */
        LIMIT_OUTBOX_SWEEP = 256,             /* audited events removed from the store at once */
        LIMIT_OUTBOX_WAITING = 10000,         /* committed events that events.log did not take yet */
        LIMIT_CLOCK_SKEW_SECONDS = 15 * 60,   /* AWS's own window for a signature */
        LIMIT_CLOCK_WARN_SECONDS = 30,        /* a host's operator is told from here on */
        LIMIT_CERT_BACKDATE_SECONDS = 60,
        LIMIT_HOST_CERT_SECONDS = 24 * 3600,
        LIMIT_HOST_CERT_SECONDS_MIN = 5,      /* shorter ones end before they are renewed */
        LIMIT_USER_CERT_SECONDS = 30 * 3600,  /* a login, at most: a day's work and the evening */
        LIMIT_USER_CERT_SECONDS_USUAL = 12 * 3600, /* one that asks for nothing else */
        LIMIT_HEARTBEAT_SECONDS = 24 * 3600,  /* auth_service.heartbeat_ttl, at most */
        LIMIT_HEARTBEAT_SECONDS_MIN = 2,
        LIMIT_STATIC_TOKENS = 1000,           /* secrets of auth_service.tokens and the files it names */
};

#endif
