/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses the name of a node on a command line, `[login@]node`, and refuses names that a program or a shell could misinterpret.
 */
#ifndef CLIENT_TARGET_H
#define CLIENT_TARGET_H

#include "base/arena.h"
#include "base/error.h"

struct target {
        const char *login;  /* NULL: not given */
        const char *node;   /* a host name or host ID, NULL: chosen by labels */
        const char *labels; /* "env=prod,team=db", NULL: named */
};

/*
 * Reads `[login@]node`; node is a name or a host ID in any spelling, which becomes the canonical one (lower case, no
 * ".<cluster>" behind, no dot at the end), or labels. INVALID_ARGUMENT for names that a shell or ssh could misinterpret: with
 * leading dashes, blanks, quotes, newlines and so on. The result lives in the arena.
 */
struct error *target_parse(struct arena *a, struct str text, const char *cluster, struct target *ret) MUST_USE;

/* The same with an optional `:port` behind, which is a number and otherwise ignored; never labels. */
struct error *target_parse_address(struct arena *a, struct str text, const char *cluster, struct target *ret) MUST_USE;

/*
 * Whether an argument of scp names something on a node (`[login@]node:path`, as scp itself decides: a colon
 * before any slash), and the two parts then.
 */
bool target_split_path(struct str argument, struct str *ret_target, struct str *ret_path);

#endif
