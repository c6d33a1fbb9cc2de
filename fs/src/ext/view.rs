//! Views: a file system, or an inode, seen as one of the things that it is made of: block groups, a redo
//! record; a block map, attributes, a directory. A view is one address. It has the functions of that thing
//! alone, and those of what it is a view of. ext4 has the same, but for another block map.

/// Makes a type a view of another: copied freely, and dereferenced to that.
macro_rules! view {
    ($name:ident of $target:ident) => {
        impl<P: $crate::platform::Platform> Clone for $name<'_, P> {
            #[inline(always)]
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<P: $crate::platform::Platform> Copy for $name<'_, P> {}

        impl<P: $crate::platform::Platform> core::ops::Deref for $name<'_, P> {
            type Target = $target<P>;
            #[inline(always)]
            fn deref(&self) -> &$target<P> {
                self.0
            }
        }
    };
}
