/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fields of a parsed section. Private to profile_file.c and its fuzz target.
 */
#ifndef AWS_PROFILE_FILE_INTERNAL_H
#define AWS_PROFILE_FILE_INTERNAL_H

#include "aws/profile_file.h"
#include "base/buf.h"

struct property {
        char *name; /* lower case */
        struct buf value;
        enum profile_file file;
};

struct profile_section {
        enum profile_kind kind;
        char *name;
        bool is_bare; /* [default] of the config file; [profile default] takes precedence, in any order */
        struct property *properties;
        size_t count;
};

#endif
