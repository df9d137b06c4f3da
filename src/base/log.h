/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One event, one line: an event name and fields, as text or JSON, to stderr or a file.
 *
 * Only the services log; everything below them returns errors. Foreign text goes in as a field value:
 * it is clipped, escaped and quoted here.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/error.h"
#include "base/str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

struct log_options {
        enum log_level level;
        enum log_format format;
        int fd; /* borrowed; 2 for stderr */
};

/* Sets how and where this process logs. Without it: INFO, text, stderr. */
void log_setup(struct log_options options);

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
/* The whole chain: what, hint and causes. */
#define LOG_ERR(e) ((struct log_field){ .key = "error", .kind = LOG_KIND_ERROR, .error = (e) })

#define log_debug(event, ...) log_write(LOG_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...) log_write(LOG_INFO, event, __VA_ARGS__)
#define log_warn(event, ...) log_write(LOG_WARN, event, __VA_ARGS__)
#define log_error(event, ...) log_write(LOG_ERROR, event, __VA_ARGS__)

/* log_info("node joined", LOG_STR("token", name), LOG_INT("ms", took)); a lone event: log_info("ready"). */
#define log_write(level, event, ...)                                                               \
        log_write_at(__FILE__, __LINE__, level, event,                                             \
                     (const struct log_field[]){ __VA_OPT__(__VA_ARGS__, ){ .key = NULL } })
void log_write_at(const char *file, int line, enum log_level level, const char *event,
                  const struct log_field *fields);

#endif
