/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logging: each event is one line with a name and fields, as text or JSON, on stderr or in a file.
 *
 * Each kind of line has a rate (base/log_rate.h), so that no peer can fill a disk with log lines; the next line after
 * suppressed ones has their number in the field left_out. A destination that takes nothing does not stop the process
 * (base/log_sink.h): lines are lost then, and a later line has their number.
 *
 * Only the services log; libraries return errors. Untrusted text is passed as a field value, which is clipped, escaped
 * and quoted here.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

struct log_options {
        enum log_level level;
        enum log_format format;
        int fd; /* borrowed; 2 for stderr */
};

/* Sets the level, format and destination of this process's log. Default: INFO, text, stderr. */
void log_setup(struct log_options options);

/*
 * Sends each event to systemd-journald from now on, with a field of its own for the level, the component, the event and each key:
 * see base/log_journal.h. `socket` (borrowed) is a datagram socket that is connected to journald. If journald cannot be reached, or
 * the line is too long for it, the line is written to the descriptor of log_setup(), after "<N>" with its priority (sd-daemon(3)).
 */
void log_to_journal(int socket);

/* Names the part of the system for all lines of this process: "auth", "proxy", "instance" … Static text. */
void log_component(const char *component);

struct log_field {
        const char *key;
        enum { LOG_KIND_STR, LOG_KIND_INT, LOG_KIND_ERROR } kind;
        struct str str;
        int64_t number;
        const struct error *error;
};

#define LOG_STR(k, s) ((struct log_field){ .key = (k), .kind = LOG_KIND_STR, .str = (s) })
#define LOG_C(k, c) ((struct log_field){ .key = (k), .kind = LOG_KIND_STR, .str = str_of(c) })
#define LOG_INT(k, n) ((struct log_field){ .key = (k), .kind = LOG_KIND_INT, .number = (int64_t)(n) })
/* An error with its message, hint and causes. */
#define LOG_ERR(e) ((struct log_field){ .key = "error", .kind = LOG_KIND_ERROR, .error = (e) })

/* State of one log statement in the code, initially zeroed; used by base/log_rate.h. */
struct log_site {
        struct log_allowance {
                struct instant at;
                int64_t spent_ns; /* rate budget spent at that time */
        } all;
        uint64_t left_out; /* suppressed lines since the last written one */
        uint64_t id;       /* 0: not assigned yet */
};

#define log_debug(event, ...) log_write(LOG_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...) log_write(LOG_INFO, event, __VA_ARGS__)
#define log_warn(event, ...) log_write(LOG_WARN, event, __VA_ARGS__)
#define log_error(event, ...) log_write(LOG_ERROR, event, __VA_ARGS__)

/* log_info("node joined", LOG_STR("token", name), LOG_INT("ms", took)); a lone event: log_info("ready"). */
#define log_write(level, event, ...)                                                               \
        do {                                                                                       \
                static struct log_site log_site_;                                                  \
                log_write_at(&log_site_, __FILE__, __LINE__, level, event,                         \
                             (const struct log_field[]){ __VA_OPT__(__VA_ARGS__, ){ .key = NULL } }); \
        } while (0)
void log_write_at(struct log_site *site, const char *file, int line, enum log_level level, const char *event,
                  const struct log_field *fields);

#endif
