/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parser of AWS's configuration files ~/.aws/config and ~/.aws/credentials, line by line by the rules of the cross-SDK
 * standard ("Shared config and credentials files" of the AWS SDKs and Tools reference).
 *
 * Values may be secrets: they are wiped when the set is released, and never appear in errors or warnings.
 */
#ifndef AWS_PROFILE_FILE_H
#define AWS_PROFILE_FILE_H

#include "base/error.h"
#include "base/str.h"

enum profile_file { PROFILE_FILE_CONFIG, PROFILE_FILE_CREDENTIALS };
enum profile_kind { PROFILE_KIND_PROFILE, PROFILE_KIND_SSO_SESSION, PROFILE_KIND_SERVICES };

enum {
        PROFILE_SECTIONS_MAX = 4096, /* of both files; they are searched one by one */
        PROFILE_PROPERTIES_MAX = 256, /* of one section in one file */
        PROFILE_WARNINGS_MAX = 8,
};

struct profile_section;

struct profile_set {
        struct profile_section **sections;
        size_t count;
        char *warnings[PROFILE_WARNINGS_MAX]; /* sentences with file and line */
        size_t warning_count;
};
/* A zeroed set is a valid empty one. */
void profile_set_release(struct profile_set *s);

/*
 * Adds a file's text. INVALID_ARGUMENT "NAME:LINE: …" for text the standard refuses, RESOURCE_EXHAUSTED beyond the
 * limits above; the set can then only be released. Sections with names that the standard ignores are ignored with a
 * warning.
 */
struct error *profile_set_add(struct profile_set *s, enum profile_file file, const char *name, struct str text) MUST_USE;

/* The section, or NULL. */
const struct profile_section *profile_set_find(const struct profile_set *s, enum profile_kind kind, struct str name);

const char *profile_name(const struct profile_section *p);

/* The value of a key (lower case) in either file, the credentials file first; empty when absent. p may be NULL. */
struct str profile_text(const struct profile_section *p, const char *key);

/* The same in one file only. */
struct str profile_text_in(const struct profile_section *p, enum profile_file file, const char *key);

/* Whether the key is present, even if empty. */
bool profile_has(const struct profile_section *p, const char *key);

/* The value of `name` among the sub-properties that make up a value ("\nname = value\n…"); empty when absent. */
struct str profile_nested(struct str value, const char *name);

#endif
