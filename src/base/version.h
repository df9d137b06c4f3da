/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Versions of programs: "16.1.0", "17.0.0-rc.1" (semver.org). Which versions work together: docs/operate/upgrade.md.
 */
#ifndef BASE_VERSION_H
#define BASE_VERSION_H

#include "base/error.h"
#include "base/str.h"

enum { VERSION_TEXT_MAX = 32 }; /* with the end of the string */

/* Copies the text if it has only the characters of a version; otherwise, or if it is too long, makes to "". */
void version_text(char to[VERSION_TEXT_MAX], struct str text);

/* The major number of a version; -1: it is none. */
int version_major(struct str text);

/*
 * Whether a host with the version `host` may be in a cluster whose Auth Service has the version `auth`: it has the same major number,
 * or the one before. FAILED_PRECONDITION with both versions. A text that is no version passes, as the host does not say what it is.
 */
struct error *version_check_host(struct str host, struct str auth) MUST_USE;

#endif
