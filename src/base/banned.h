/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes calls of unsafe library functions compile errors. Included on the command line for every source (meson.build),
 * after which the library headers may still declare them but a call does not compile.
 */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BANNED(name) name##_is_banned_see_base_banned_h

#undef strcpy
#define strcpy BANNED(strcpy)
#undef strcat
#define strcat BANNED(strcat)
#undef strncpy
#define strncpy BANNED(strncpy)
#undef strncat
#define strncat BANNED(strncat)
#undef sprintf
#define sprintf BANNED(sprintf)
#undef vsprintf
#define vsprintf BANNED(vsprintf)
#undef strtok
#define strtok BANNED(strtok)
#undef atoi
#define atoi BANNED(atoi)
#undef atol
#define atol BANNED(atol)
#undef gmtime
#define gmtime BANNED(gmtime)
#undef localtime
#define localtime BANNED(localtime)
#undef ctime
#define ctime BANNED(ctime)
#undef rand
#define rand BANNED(rand)
#undef system
#define system BANNED(system)
#undef popen
#define popen BANNED(popen)
#undef tmpnam
#define tmpnam BANNED(tmpnam)
#undef alloca
#define alloca BANNED(alloca)

#endif
